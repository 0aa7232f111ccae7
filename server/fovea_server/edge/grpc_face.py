"""grpc.aio on its port, opened and closed in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from fovea_client.wire import vision_pb2_grpc
from fovea_server.edge.grpc_health import Health
from fovea_server.edge.grpc_messages import SoundMessages
from fovea_server.edge.grpc_servicer import NAME, Vision
from fovea_server.edge.listen import ConnectionLimits, EdgeSettings
from fovea_server.edge.options import MAX_TIMEOUT
from fovea_server.edge.tls import Certificates
from fovea_server.request.readiness import Readiness

_MAX_MESSAGE = 32 << 20  # above the gate's limit, so that the gate answers and says why
_MAX_STREAMS = 1024  # calls at once over one gRPC connection


class GrpcFace:
    """grpc.aio with Vision, the standard health service and reflection, with or without TLS.

    `refused` is told the reason of each message that cannot be read, or not in time; `shared` as for REST.
    """

    def __init__(
        self,
        vision: Vision,
        readiness: Readiness,
        settings: EdgeSettings,
        certificates: Certificates | None = None,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        refused: Callable[[str], None] = lambda reason: None,
        *,
        shared: bool = False,
    ) -> None:
        self._vision = vision
        self._readiness = readiness
        self._settings = settings
        self._certificates = certificates
        self._interceptors = (*interceptors, SoundMessages(settings.connections.body_seconds, refused))
        self._shared = shared
        self._server: grpc.aio.Server | None = None
        self._closing = asyncio.Lock()

    async def open(self) -> None:
        server = self._server = grpc.aio.server(
            interceptors=self._interceptors,
            options=_grpc_options(self._settings.connections, self._shared),
        )
        vision_pb2_grpc.add_VisionServicer_to_server(self._vision, server)  # type: ignore[no-untyped-call]
        states = Health(("", NAME))
        health_pb2_grpc.add_HealthServicer_to_server(states, server)
        reflection.enable_server_reflection((NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        address = _address(self._settings.host, self._settings.grpc_port)
        if self._certificates is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, self._certificates.for_grpc())
        await server.start()
        self._readiness.on_change(states.set)

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
        # What never ends by itself does: balancers see callers come back, and nobody drips into a stream for ever.
        ("grpc.max_connection_age_ms", 3_600_000),
        ("grpc.max_connection_age_grace_ms", int(MAX_TIMEOUT * 1000)),
    ]


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
