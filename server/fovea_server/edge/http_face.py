"""uvicorn in our event loop: the REST face on its port, the control face on its Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from fovea_server import control_sockets
from fovea_server.edge.bounded_connection import SWEEP_SECONDS, Room
from fovea_server.edge.connection import Connection
from fovea_server.edge.doorkeeper import Refusal
from fovea_server.edge.listen import EdgeSettings
from fovea_server.edge.tls import Certificates
from fovea_server.edge.tls_listener import TlsListener

_SWEEP_TICKS = int(SWEEP_SECONDS / 0.1)  # uvicorn ticks ten times a second


class _HttpFace(uvicorn.Server):
    """uvicorn in our event loop; signals are ours to handle."""

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        common = {
            "http": "httptools",
            "ws": "none",
            "lifespan": "off",
            "log_config": None,
            "log_level": "error",  # what callers do wrong is told to them
            "access_log": False,
            "server_header": False,
            "backlog": 4096,
        }
        super().__init__(uvicorn.Config(app, **{**common, **options}))
        self._serving: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def open(self) -> None:
        """Listen; returns once connections are accepted."""
        self._serving = asyncio.create_task(self.serve(self._sockets()))
        while not self.started:
            if self._serving.done():
                self._serving.result()
                raise OSError(f"cannot listen on {self.config.host}:{self.config.port}")
            await asyncio.sleep(0.01)

    async def close(self, grace: float) -> None:
        """Accept nothing more; give what is being answered `grace` seconds."""
        if self._serving is None:
            return
        self.should_exit = True
        done, _ = await asyncio.wait({self._serving}, timeout=grace)
        if not done:
            self.force_exit = True
            await self._serving

    def _sockets(self) -> list[socket.socket] | None:
        """Sockets that are bound already; None to bind where the configuration says."""
        return None


class RestFace(_HttpFace):
    """The REST face on its port, with or without TLS.

    `refused` is told the reason of each connection turned away; `refusal` is asked before a request is let in
    (doorkeeper.py); `shared` says that other processes of this server have the same port.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: EdgeSettings,
        certificates: Certificates | None = None,
        refused: Callable[[str], None] = lambda reason: None,
        refusal: Refusal | None = None,
        *,
        shared: bool = False,
    ) -> None:
        limits = settings.connections
        self._room = Room(limits, refused)
        self._connection = functools.partial(Connection, self._room, refusal=refusal)
        super().__init__(
            app,
            host=settings.host,
            port=settings.rest_port,
            http=self._connection,
            timeout_keep_alive=limits.idle_seconds,
        )
        self._certificates = certificates
        self._shared = shared

    async def on_tick(self, counter: int) -> bool:
        if counter % _SWEEP_TICKS == 0:
            self._room.sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it; with TLS, by hand: uvicorn gives a handshake a whole minute, and counts none."""
        if self._certificates is None:
            await super().startup(sockets)
            return
        config, limits = self.config, self._room.limits
        make = functools.partial(self._connection, config=config, server_state=self.server_state, app_state={})
        bound = sockets or _bound(config.host, config.port)
        listener = TlsListener(bound, config.backlog, self._certificates.for_rest(), limits.header_seconds, make)
        self.servers = [listener]  # type: ignore[list-item]  # what uvicorn needs of one
        self.started = True

    def _sockets(self) -> list[socket.socket] | None:
        return _bound(self.config.host, self.config.port, shared=True) if self._shared else None


class ControlFace(_HttpFace):
    """The control face on a Unix socket in the state folder, for the user alone who runs the server."""

    def __init__(self, app: ASGIApp, state: Path) -> None:
        super().__init__(app)
        self._path = control_sockets.of_this_process(state)

    async def close(self, grace: float) -> None:
        await super().close(grace)
        self._path.unlink(missing_ok=True)

    def _sockets(self) -> list[socket.socket]:
        return [control_sockets.bind(self._path)]


def _bound(host: str, port: int, *, shared: bool = False) -> list[socket.socket]:
    """To each address of the host; `shared` with SO_REUSEPORT: the kernel then spreads connections over processes."""
    bound = []
    said = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in dict.fromkeys(said):
        one = socket.socket(family, kind, protocol)
        bound.append(one)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
    return bound
