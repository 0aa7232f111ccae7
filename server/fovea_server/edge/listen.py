"""Open the two faces on their ports, and close them in order."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import uvicorn
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from starlette.types import ASGIApp

from fovea_client.wire import vision_pb2_grpc
from fovea_server import control_sockets
from fovea_server.edge.bounded_connection import SWEEP_SECONDS, ConnectionLimits, Room
from fovea_server.edge.connection import Connection
from fovea_server.edge.doorkeeper import Refusal
from fovea_server.edge.grpc_malformed import RefuseMalformed
from fovea_server.edge.grpc_servicer import NAME, Vision
from fovea_server.edge.options import MAX_TIMEOUT
from fovea_server.edge.tls import Certificates, TlsSettings
from fovea_server.request.readiness import Readiness

_MAX_MESSAGE = 32 << 20  # above the gate's limit, so that the gate answers and says why
_SWEEP_TICKS = int(SWEEP_SECONDS / 0.1)  # uvicorn ticks ten times a second
_MAX_STREAMS = 1024  # calls at once over one gRPC connection


@dataclass(frozen=True)
class EdgeSettings:
    host: str = "127.0.0.1"
    rest_port: int = 8080
    grpc_port: int = 8081
    tls: TlsSettings | None = None
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)


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
        """As uvicorn does it; with TLS, by hand, because uvicorn gives a handshake a whole minute."""
        if self._certificates is None:
            await super().startup(sockets)
            return
        loop, config = asyncio.get_running_loop(), self.config
        make = functools.partial(self._connection, config=config, server_state=self.server_state, app_state={})
        listening: list[dict[str, Any]] = [{"sock": each} for each in sockets or []]
        self.servers = [
            await loop.create_server(
                make,
                **where,
                ssl=self._certificates.for_rest(),
                ssl_handshake_timeout=self._room.limits.header_seconds,
                backlog=config.backlog,
            )
            for where in listening or [{"host": config.host, "port": config.port}]
        ]
        self.started = True

    def _sockets(self) -> list[socket.socket] | None:
        return _shared_sockets(self.config.host, self.config.port) if self._shared else None


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


class GrpcFace:
    """grpc.aio with Vision, the standard health service and reflection, with or without TLS; `shared` as for REST."""

    def __init__(
        self,
        vision: Vision,
        readiness: Readiness,
        settings: EdgeSettings,
        certificates: Certificates | None = None,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        *,
        shared: bool = False,
    ) -> None:
        self._vision = vision
        self._readiness = readiness
        self._settings = settings
        self._certificates = certificates
        self._interceptors = interceptors
        self._shared = shared
        self._server: grpc.aio.Server | None = None
        self._closing = asyncio.Lock()

    async def open(self) -> None:
        server = self._server = grpc.aio.server(
            interceptors=(*self._interceptors, RefuseMalformed()),
            options=_grpc_options(self._settings.connections, self._shared),
        )
        vision_pb2_grpc.add_VisionServicer_to_server(self._vision, server)  # type: ignore[no-untyped-call]
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        address = _address(self._settings.host, self._settings.grpc_port)
        if self._certificates is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, self._certificates.for_grpc())
        await server.start()
        self._updates: set[asyncio.Task[None]] = set()
        self._readiness.on_change(self._on_readiness)

    async def close(self, grace: float) -> None:
        """Take no new call; give the images that are being answered `grace` seconds.

        Calls that never end by themselves, such as a health `Watch` or an idle stream, are not waited for. Of
        grpc.aio's `stop` only one may run at a time: two that overlap use the server after it was freed.
        """
        if self._server is None:
            return
        async with self._closing:
            if grace and not self._vision.idle.is_set():
                await self._finish_accepted(self._server, grace)
            await self._server.stop(0)

    async def _finish_accepted(self, server: grpc.aio.Server, grace: float) -> None:
        stopping = asyncio.create_task(server.stop(grace))
        idle = asyncio.create_task(self._vision.idle.wait())
        try:
            await asyncio.wait({stopping, idle}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            idle.cancel()
            stopping.cancel()
            await asyncio.wait({stopping})

    def _on_readiness(self, ready: bool) -> None:
        update = asyncio.get_running_loop().create_task(self._set_health(ready))
        self._updates.add(update)
        update.add_done_callback(self._updates.discard)

    async def _set_health(self, ready: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in ("", NAME):
            await self._health.set(service, status)


def _shared_sockets(host: str, port: int) -> list[socket.socket]:
    """Bound to each address of the host with SO_REUSEPORT, so that the kernel spreads connections over processes."""
    bound = []
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        one = socket.socket(family, kind, protocol)
        bound.append(one)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
    return bound


def _grpc_options(limits: ConnectionLimits, shared: bool) -> list[tuple[str, int]]:
    """What one caller may cost, in gRPC's own words (grpc/impl/channel_arg_names.h)."""
    return [
        ("grpc.so_reuseport", int(shared)),
        ("grpc.max_receive_message_length", _MAX_MESSAGE),
        ("grpc.max_allowed_incoming_connections", limits.max_connections),
        ("grpc.max_concurrent_streams", _MAX_STREAMS),
        ("grpc.max_metadata_size", limits.header_bytes // 2),  # above it refused by chance,
        ("grpc.absolute_max_metadata_size", limits.header_bytes),  # and above this always
        ("grpc.server_handshake_timeout_ms", int(limits.header_seconds * 1000)),
        # A connection without a call, or whose other end is gone, is closed.
        ("grpc.max_connection_idle_ms", 300_000),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # Callers may ping every 10 s; who does it more often is sent away after three strikes.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 3),
        # What never ends by itself does: balancers see callers come back, and nobody drips a message for ever.
        ("grpc.max_connection_age_ms", 3_600_000),
        ("grpc.max_connection_age_grace_ms", int(MAX_TIMEOUT * 1000)),
    ]


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
