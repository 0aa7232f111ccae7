"""What one gateway process is made of: from the two faces to the door of Triton."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fovea_pipelines import garbage
from fovea_server.edge import rest_app
from fovea_server.edge.early_refusals import EarlyRefusals
from fovea_server.edge.grpc_access import GuardedCalls
from fovea_server.edge.grpc_face import GrpcFace
from fovea_server.edge.grpc_servicer import Vision
from fovea_server.edge.http_face import RestFace
from fovea_server.edge.problems import Problems
from fovea_server.edge.request_id import WithId
from fovea_server.edge.rest_access import GuardedApp
from fovea_server.endings import each_in_turn
from fovea_server.entrance import Entrance
from fovea_server.feature_log.log import FeatureLog
from fovea_server.feature_log.places import Places
from fovea_server.metrics import Metrics
from fovea_server.request.admission import Admission
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.conversion import Conversion
from fovea_server.request.court import Bench
from fovea_server.request.gate import Gate
from fovea_server.request.quarantine import FOLDER, Quarantine
from fovea_server.request.readiness import Readiness
from fovea_server.request.service import InferenceEngine, Service
from fovea_server.request.suspects import Suspects
from fovea_server.settings import Settings
from fovea_server.studies.experiments import Experiments


class Gateway:
    """Answers requests over REST and gRPC; the same in the process that owns Triton and in those that follow it.

    `readiness` and `catalogue` are kept up to date by whoever builds it; `exposed` are all metrics of the server;
    `court` judges over what all gateway processes have inside Triton, `suspects` are this one's; `is_first` is whether
    this is the process that owns Triton.
    """

    def __init__(
        self,
        settings: Settings,
        entrance: Entrance,
        readiness: Readiness,
        catalogue: Catalogue,
        engine: InferenceEngine,
        metrics: Metrics,
        exposed: Callable[[], Awaitable[bytes]],
        court: Bench,
        is_first: bool = False,
    ) -> None:
        workers = settings.workers
        gate = Gate(settings.gate)
        self._conversion = Conversion(settings.conversion.of_one(workers), settings.gate.max_pixels)
        self._admission = Admission(settings.admission.of_one(workers), on_refusal=metrics.turned_away)
        metrics.watch_admission(self._admission)
        readiness.on_change(self._admission.triton_up)
        quarantine = Quarantine(settings.state / FOLDER, settings.quarantine)
        self.suspects = Suspects(engine, quarantine, readiness, court)
        log = self._log = _feature_log(settings, metrics, catalogue)
        experiments = self._experiments = Experiments(
            settings.experiments.of_one(workers),
            settings.state,
            catalogue,
            self.suspects,
            lambda: self._admission.in_flight == 0,
            metrics,
            _log_places(settings),
            is_first,
        )
        service = Service(
            readiness,
            gate,
            catalogue,
            self._conversion,
            self._admission,
            self.suspects,
            metrics,
            log,
            experiments.routing,
            experiments.copies,
        )
        guard, certificates, edge = entrance.guard, entrance.certificates, entrance.edge
        rest = rest_app.create(
            *(service, gate, catalogue, readiness, metrics, exposed, log, experiments), asks_for_keys=guard is not None
        )
        vision = Vision(service, catalogue, readiness, metrics, log)

        refusal = EarlyRefusals(self._admission, gate, guard, metrics)
        asked = WithId(GuardedApp(rest, guard, Problems(metrics)) if guard else rest)
        calls = [GuardedCalls(guard, metrics)] if guard else []
        self._rest = RestFace(asked, edge, certificates, metrics.refused, refusal, shared=workers > 1)
        self._grpc = GrpcFace(vision, readiness, edge, certificates, calls, metrics.refused, shared=workers > 1)

    @property
    def in_flight(self) -> int:
        """Images inside Triton that this process sent there."""
        return self._admission.in_flight

    def model_is_needed(self, name: str) -> str | None:
        """Why it cannot be taken out of service: an experiment."""
        return self._experiments.routing.needs(name)

    def triton_died(self) -> None:
        """It, or a process of its models: one of the images that are inside may be the cause."""
        self.suspects.died()

    async def open(self) -> None:
        """Listen; returns once both faces take connections."""
        if self._log:
            self._log.start()
        await self._experiments.start()
        await self._rest.open()
        await self._grpc.open()
        garbage.keep_what_is_alive()

    async def close(self, grace: float) -> None:
        """Take nothing more; give what is being answered `grace` seconds."""
        await asyncio.gather(self._rest.close(grace), self._grpc.close(grace))

    async def end(self) -> None:
        """Close at once, and end every process of its own."""
        logs = [self._log.stop] if self._log else []
        await each_in_turn(
            lambda: self._rest.close(0),
            lambda: self._grpc.close(0),
            self._conversion.close,
            self._experiments.stop,
            *logs,
        )


def _feature_log(settings: Settings, metrics: Metrics, catalogue: Catalogue) -> FeatureLog | None:
    """Each process writes segments of its own; the keeper, one a server, makes them one log."""
    places = _log_places(settings)
    return FeatureLog(places, settings.feature_log, metrics, lambda: catalogue) if places else None


def _log_places(settings: Settings) -> Places | None:
    chosen = settings.feature_log
    return Places.of(chosen.location, settings.state) if chosen else None
