"""Open the two faces on their ports, and close them in order."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import uvicorn
from fastapi import FastAPI
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from starlette.types import ASGIApp

from fovea_client.wire import vision_pb2_grpc
from fovea_server import control_sockets
from fovea_server.edge.grpc_malformed import RefuseMalformed
from fovea_server.edge.grpc_servicer import NAME, Vision
from fovea_server.request.readiness import Readiness

_MAX_MESSAGE = 32 << 20  # above the gate's limit, so that the gate answers and says why


@dataclass(frozen=True)
class EdgeSettings:
    host: str = "127.0.0.1"
    rest_port: int = 8080
    grpc_port: int = 8081


class _HttpFace(uvicorn.Server):
    """uvicorn in our event loop; signals are ours to handle."""

    def __init__(self, app: ASGIApp, **where: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=75,
                backlog=4096,
                **where,
            )
        )
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
    """The REST face on its port."""

    def __init__(self, app: FastAPI, settings: EdgeSettings) -> None:
        super().__init__(app, host=settings.host, port=settings.rest_port)


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
    """grpc.aio with Vision, the standard health service and reflection."""

    def __init__(self, vision: Vision, readiness: Readiness, settings: EdgeSettings) -> None:
        self._vision = vision
        self._readiness = readiness
        self._settings = settings
        self._server: grpc.aio.Server | None = None
        self._closing = asyncio.Lock()

    async def open(self) -> None:
        server = self._server = grpc.aio.server(
            interceptors=(RefuseMalformed(),),
            options=(("grpc.max_receive_message_length", _MAX_MESSAGE), ("grpc.so_reuseport", 0)),
        )
        vision_pb2_grpc.add_VisionServicer_to_server(self._vision, server)  # type: ignore[no-untyped-call]
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        server.add_insecure_port(_address(self._settings.host, self._settings.grpc_port))
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


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
