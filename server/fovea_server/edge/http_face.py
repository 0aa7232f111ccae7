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
from fovea_server.errors import StartError
from fovea_server.triton import ports

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
        """Listen; returns once connections are accepted. Raises StartError."""
        self._serving = asyncio.create_task(self.serve(self._sockets()))
        while not self.started:
            if self._serving.done():
                raise StartError(f"the server cannot listen: {self._serving.exception()}", hint="start it again")
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

    def _sockets(self) -> list[socket.socket]:
        """Bound by us: where that fails, uvicorn would end the process. Raises StartError."""
        raise NotImplementedError


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
        assert sockets is not None, "_sockets() binds them"
        config, limits = self.config, self._room.limits
        make = functools.partial(self._connection, config=config, server_state=self.server_state, app_state={})
        listener = TlsListener(sockets, config.backlog, self._certificates.for_rest(), limits.header_seconds, make)
        self.servers = [listener]  # type: ignore[list-item]  # what uvicorn needs of one
        self.started = True

    def _sockets(self) -> list[socket.socket]:
        return ports.bind(self.config.host, self.config.port, "REST", shared=self._shared)


class ControlFace(_HttpFace):
    """The control face on a Unix socket in the state folder, for the user alone who runs the server."""

    def __init__(self, app: ASGIApp, state: Path) -> None:
        super().__init__(app)
        self._state = state
        self._path: Path | None = None

    async def close(self, grace: float) -> None:
        if self._path:
            self._path.unlink(missing_ok=True)  # first: nobody takes the name while somebody listens behind it
            self._path = None
        await super().close(grace)

    def _sockets(self) -> list[socket.socket]:
        self._path, bound = control_sockets.bind(self._state)
        return [bound]
