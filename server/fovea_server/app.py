"""Build every part, give each what it needs, and run them from start to drain. The only file that knows everyone."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from fovea_pipelines.engines.choice import engine_of
from fovea_server.edge import control_app, rest_app
from fovea_server.edge.grpc_servicer import Vision
from fovea_server.edge.listen import ControlFace, GrpcFace, RestFace
from fovea_server.errors import StartError
from fovea_server.feature_log import opening
from fovea_server.feature_log.keeping import Keeping
from fovea_server.feature_log.log import FeatureLog
from fovea_server.feature_log.places import Places
from fovea_server.logs import get_logger
from fovea_server.metrics import Metrics
from fovea_server.request.admission import Admission
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.conversion import Conversion
from fovea_server.request.gate import Gate
from fovea_server.request.readiness import Readiness
from fovea_server.request.roster import Roster
from fovea_server.request.service import Service
from fovea_server.settings import Settings
from fovea_server.studies.experiments import Experiments
from fovea_server.triton import device, installation, ports, process
from fovea_server.triton.client import TritonClient
from fovea_server.triton.process import TritonProcess
from fovea_server.triton.repository import Repositories
from fovea_server.triton.supervisor import Supervisor

_log = get_logger("app")


class App:
    """One gateway and the Triton it looks after."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        process.sweep()
        _check_writable(settings.state)
        self._repositories = Repositories(settings.repository, settings.state, moment=process.folder_of_this_gateway())
        self._packages = self._repositories.packages()
        self._device = device.choose(settings.device, self._packages, in_container=installation.is_container())
        _log.info("device", device=self._device.device, name=self._device.name, reason=self._device.reason)
        self._installation = installation.find(self._device.device)
        self._check_ports()
        self._key = secrets.token_urlsafe(24)  # to Triton's API for loading models
        self._metrics = Metrics()
        self._readiness = Readiness()
        self._readiness.on_change(self._metrics.triton_up)
        self._conversion = Conversion(settings.conversion, settings.gate.max_pixels)
        self._admission = Admission(settings.admission)
        self._metrics.watch_admission(lambda: self._admission.in_flight, lambda: self._admission.waiting)

    async def run(self, stop: asyncio.Future[float], hurry: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Serve until `stop` has a result, then drain. Raises StartError where Triton does not come up.

        The result is for how many seconds a stopping server still answers while it already says it is not ready, so
        that balancers notice. Setting `hurry` ends the drain at once.
        """
        self._client = TritonClient(self._settings.triton.address, self._key)
        self._roster = self._build_roster()
        self._supervisor = self._build_supervisor()
        rest, grpc = self._build_faces()
        control = ControlFace(control_app.create(self._roster, self._metrics), self._settings.state)
        await self._experiments.start()
        if self._feature_log:
            self._feature_log.start()
            self._keeping.start()
        try:
            await rest.open()
            await grpc.open()
            await control.open()
            if not await _first(self._start(), stop):
                return
            on_ready()
            draining = asyncio.create_task(self._drain(rest, grpc, notice=await stop))
            hurried = asyncio.create_task(hurry.wait())
            await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
            hurried.cancel()
            if draining.done():
                draining.result()
            draining.cancel()
            await asyncio.wait({draining})
        finally:
            await control.close(0)
            await rest.close(0)
            await grpc.close(0)
            await self._conversion.close()
            await self._experiments.stop()
            if self._feature_log:
                await self._feature_log.stop()
                await self._keeping.stop()
            _log.info("stopping triton")
            await self._supervisor.stop(at_once=hurry.is_set())
            await self._client.close()
            shutil.rmtree(self._repositories.moment, ignore_errors=True)

    async def _start(self) -> None:
        """On the GPU where one was found; should the models not run there after all and nobody insists, on the CPU."""
        try:
            await self._supervisor.start()
        except StartError as error:
            if self._device.device == "cpu" or self._settings.device == "cuda":
                raise
            _log.warning("the gpu cannot serve, so the cpu does", reason=str(error))
            self._device = device.Choice("cpu", "CPU", str(error))
            self._installation = installation.find("cpu")
            self._roster.describe_again()
            await self._supervisor.start()

    async def _drain(self, rest: RestFace, grpc: GrpcFace, notice: float) -> None:
        """Say not ready, let balancers notice, let what was accepted finish; Triton ends last."""
        _log.info("draining", notice_seconds=notice)
        self._readiness.drain()
        await asyncio.sleep(notice)
        grace = self._settings.drain_timeout
        await asyncio.gather(rest.close(grace), grpc.close(grace))
        _log.info("drained", in_flight=self._admission.in_flight)

    def _check_ports(self) -> None:
        edge, triton = self._settings.edge, self._settings.triton
        wanted = [
            (edge.host, edge.rest_port, "REST"),
            (edge.host, edge.grpc_port, "gRPC"),
            ("127.0.0.1", triton.grpc_port, "Triton's gRPC"),
            ("127.0.0.1", triton.metrics_port, "Triton's metrics"),
            ("127.0.0.1", triton.http_port, "Triton's HTTP"),
        ]
        ports.check_all_free([each for each in wanted if each[1]])

    def _build_roster(self) -> Roster:
        return Roster(
            self._repositories,
            self._packages,
            self._client,
            self._readiness,
            changing=lambda leaving: self._supervisor.changing_models(leaving),
            engine_of=lambda package: engine_of(package, self._device.device, self._settings.triton.precision),
        )

    def _build_supervisor(self) -> Supervisor:
        async def answers() -> bool:
            ready = [await self._client.is_ready(ensemble, timeout=1.0) for ensemble in self._roster.ensembles]
            return all(ready)

        return Supervisor(
            launch=lambda: TritonProcess(
                self._installation,
                self._repositories.folders,
                self._roster.ensembles,
                self._settings.triton,
                self._key,
            ),
            answers=answers,
            verify=self._roster.verify,
            readiness=self._readiness,
            restarted=self._metrics.triton_restarted,
            # CUDA's libraries are large, and cuDNN tries its algorithms for each size of batch.
            start_timeout=self._settings.triton.start_timeout * (3 if self._device.device == "cuda" else 1),
        )

    def _build_feature_log(self, catalogue: Catalogue) -> FeatureLog | None:
        settings = self._settings.feature_log
        if not settings:
            return None
        places = opening.places(settings.location, self._settings.state)
        self._keeping = Keeping(places, settings, self._metrics)
        return FeatureLog(places, settings, self._metrics, lambda: catalogue)

    def _log_places(self) -> Places | None:
        location = self._settings.feature_log.location
        return Places.of(location, self._settings.state) if location else None

    def _build_faces(self) -> tuple[RestFace, GrpcFace]:
        gate = Gate(self._settings.gate)
        catalogue = self._roster.catalogue
        log = self._feature_log = self._build_feature_log(catalogue)
        self._experiments = Experiments(
            self._settings.experiments,
            self._settings.state,
            catalogue,
            self._client,
            lambda: self._admission.in_flight == 0,
            self._metrics,
            self._log_places(),
            is_first=True,
        )
        service = Service(
            self._readiness,
            gate,
            self._experiments.routing,
            self._conversion,
            self._admission,
            self._client,
            self._metrics,
            self._experiments.copies,
            log,
        )
        rest = rest_app.create(service, gate, catalogue, self._readiness, self._metrics, log, self._experiments)
        vision = Vision(service, catalogue, self._readiness, self._metrics, log)
        edge = self._settings.edge
        return RestFace(rest, edge), GrpcFace(vision, self._readiness, edge)


async def _first(start: Coroutine[Any, Any, None], stop: asyncio.Future[float]) -> bool:
    """Whether the start came to its end before somebody asked to stop."""
    starting = asyncio.create_task(start)
    both: set[asyncio.Future[Any]] = {starting, stop}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    await asyncio.wait({starting})
    return False


def _check_writable(state: Path) -> None:
    try:
        state.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=state):
            pass
    except OSError as error:
        raise StartError(
            f"the state folder {state} cannot be written: {error.strerror}", hint="name another one with --state"
        ) from error
