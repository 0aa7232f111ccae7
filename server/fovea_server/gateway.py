"""What one gateway process is made of: from the two faces to the door of Triton."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fovea_server.edge import rest_app
from fovea_server.edge.grpc_servicer import Vision
from fovea_server.edge.listen import GrpcFace, RestFace
from fovea_server.metrics import Metrics
from fovea_server.request.admission import Admission
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.conversion import Conversion
from fovea_server.request.gate import Gate
from fovea_server.request.readiness import Readiness
from fovea_server.request.service import InferenceEngine, Service
from fovea_server.settings import Settings


class Gateway:
    """Answers requests over REST and gRPC; the same in the process that owns Triton and in those that follow it.

    `readiness` and `catalogue` are kept up to date by whoever builds it; `exposed` are all metrics of the server.
    """

    def __init__(
        self,
        settings: Settings,
        readiness: Readiness,
        catalogue: Catalogue,
        engine: InferenceEngine,
        metrics: Metrics,
        exposed: Callable[[], Awaitable[bytes]],
    ) -> None:
        workers = settings.workers
        gate = Gate(settings.gate)
        self._conversion = Conversion(settings.conversion.of_one(workers), settings.gate.max_pixels)
        self._admission = Admission(settings.admission.of_one(workers))
        metrics.watch_admission(lambda: self._admission.in_flight, lambda: self._admission.waiting)
        service = Service(readiness, gate, catalogue, self._conversion, self._admission, engine, metrics)
        rest = rest_app.create(service, gate, catalogue, readiness, metrics, exposed)
        vision = Vision(service, catalogue, readiness, metrics)
        self._rest = RestFace(rest, settings.edge, shared=workers > 1)
        self._grpc = GrpcFace(vision, readiness, settings.edge, shared=workers > 1)

    @property
    def in_flight(self) -> int:
        """Images inside Triton that this process sent there."""
        return self._admission.in_flight

    async def open(self) -> None:
        """Listen; returns once both faces take connections."""
        await self._rest.open()
        await self._grpc.open()

    async def close(self, grace: float) -> None:
        """Take nothing more; give what is being answered `grace` seconds."""
        await asyncio.gather(self._rest.close(grace), self._grpc.close(grace))

    async def end(self) -> None:
        """Close at once, and end every process of its own."""
        await self._rest.close(0)
        await self._grpc.close(0)
        await self._conversion.close()
