"""Both faces on free loopback ports over an engine that answers at once: all of a gateway but Triton."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.ports import free_ports

from fovea_server.access.guard import Guard
from fovea_server.domain import ANYONE, Caller, Deadline, Inference, Model, ModelIdentity, Question
from fovea_server.edge import rest_app
from fovea_server.edge.direct_paths import DirectPaths
from fovea_server.edge.grpc_access import GuardedCalls
from fovea_server.edge.grpc_face import GrpcFace
from fovea_server.edge.grpc_servicer import Vision
from fovea_server.edge.http_face import RestFace
from fovea_server.edge.listen import ConnectionLimits, EdgeSettings
from fovea_server.edge.problems import Problems
from fovea_server.edge.receiving import Receiving
from fovea_server.edge.request_id import WithId
from fovea_server.edge.rest_access import GuardedApp
from fovea_server.edge.tls import Certificates
from fovea_server.metrics import Metrics
from fovea_server.request.admission import Admission, AdmissionSettings
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.conversion import Conversion, ConversionSettings
from fovea_server.request.gate import Gate, GateSettings
from fovea_server.request.readiness import Readiness
from fovea_server.request.service import Service
from fovea_server.studies.experiments import Experiments
from fovea_server.studies.settings import ExperimentSettings


class InstantEngine:
    """Two labels for every image, at once."""

    async def infer(
        self, models: Sequence[Model], image: bytes, request_id: str, deadline: Deadline
    ) -> list[Inference]:
        scores, zeros = np.array([0.25, 0.75], np.float32), np.zeros(3, np.float32)
        return [Inference(scores, zeros, zeros, None, None) for _ in models]


class NotingService(Service):
    """Remembers who asked last."""

    caller: Caller = ANYONE

    async def answer(self, question: Question) -> object:  # type: ignore[override]
        self.caller = question.caller
        return await super().answer(question)


@dataclass
class Faces:
    rest_port: int
    grpc: str
    service: NotingService
    metrics: Metrics
    app: DirectPaths
    experiments: Experiments
    state: Path
    receiving: Receiving

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.rest_port}"

    def refusals(self, reason: str) -> float:
        return self.metrics.registry.get_sample_value("fovea_requests_total", {"outcome": reason}) or 0.0


def alone(metrics: Metrics) -> Callable[[], Awaitable[bytes]]:
    """What is exposed of a server that has one process."""

    async def exposed() -> bytes:
        return metrics.exposition()

    return exposed


def _model(name: str) -> Model:
    identity = ModelIdentity(name, "1", "sha256:")
    return Model(identity, "preprocess_224", name, f"classify_{name}", ("a", "b"), 3, "", "")


@contextlib.asynccontextmanager
async def faces(
    guard: Guard | None = None,
    certificates: Certificates | None = None,
    limits: ConnectionLimits | None = None,
) -> AsyncIterator[Faces]:
    rest_port, grpc_port = free_ports(2)
    readiness, metrics, gate = Readiness(), Metrics(), Gate(GateSettings())
    catalogue = Catalogue(
        [
            Model(
                ModelIdentity(name, "1", "sha256:"), "preprocess_224", name, f"classify_{name}", ("a", "b"), 3, "", ""
            )
            for name in ("m", "other")
        ]
    )
    conversion = Conversion(ConversionSettings(), GateSettings().max_pixels)
    admission, engine = Admission(AdmissionSettings()), InstantEngine()
    state = Path(tempfile.mkdtemp())
    experiments = Experiments(
        ExperimentSettings(), state, catalogue, engine, lambda: admission.in_flight == 0, metrics, None, is_first=True
    )
    service = NotingService(
        readiness,
        gate,
        catalogue,
        conversion,
        admission,
        engine,
        metrics,
        routing=experiments.routing,
        copies=experiments.copies,
    )
    app = rest_app.create(
        *(service, gate, catalogue, readiness, metrics, alone(metrics)),
        experiments=experiments,
        asks_for_keys=guard is not None,
    )
    settings = EdgeSettings("127.0.0.1", rest_port, grpc_port, connections=limits or ConnectionLimits())
    asked = WithId(GuardedApp(app, guard, Problems(metrics)) if guard else app)
    rest = RestFace(asked, settings, certificates, metrics.refused)
    calls = [GuardedCalls(guard, metrics)] if guard else []
    grpc = GrpcFace(
        Vision(service, catalogue, readiness, metrics), readiness, settings, certificates, calls, metrics.refused
    )
    await experiments.start()
    await rest.open()
    await grpc.open()
    readiness.ready(1)
    await asyncio.sleep(0)
    try:
        yield Faces(
            rest_port, f"127.0.0.1:{grpc_port}", service, metrics, app, experiments, state, rest._room.receiving
        )
    finally:
        await rest.close(0)
        await grpc.close(0)
        await experiments.stop()
        shutil.rmtree(state)
