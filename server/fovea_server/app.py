"""Build every part, give each what it needs, and run them from start to drain. The only file that knows everyone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fovea_pipelines.package import ModelPackage
from fovea_server.domain import Model, ModelIdentity
from fovea_server.edge import rest_app
from fovea_server.edge.grpc_servicer import Vision
from fovea_server.edge.listen import GrpcFace, RestFace
from fovea_server.logs import get_logger
from fovea_server.metrics import Metrics
from fovea_server.request import golden
from fovea_server.request.admission import Admission
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.gate import Gate
from fovea_server.request.readiness import Readiness
from fovea_server.request.service import Service
from fovea_server.settings import Settings
from fovea_server.triton import installation, ports, process, repository
from fovea_server.triton.client import TritonClient
from fovea_server.triton.process import TritonProcess
from fovea_server.triton.supervisor import Supervisor

_log = get_logger("app")


class App:
    """One gateway and the Triton it looks after."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._packages = repository.packages(settings.repository)
        self._installation = installation.find(plans_are_built=all(map(repository.has_plan, self._packages)))
        for package in self._packages:
            for artefact in package.artefacts:
                artefact.check()
        self._check_ports()
        process.sweep()
        self._metrics = Metrics()
        self._readiness = Readiness()
        self._readiness.on_change(self._metrics.triton_up)
        self._admission = Admission(settings.admission)
        self._metrics.watch_admission(lambda: self._admission.in_flight, lambda: self._admission.waiting)

    async def run(self, stop: asyncio.Future[float], hurry: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Serve until `stop` has a result, then drain. Raises StartError where Triton does not come up.

        The result is for how many seconds a stopping server still answers while it already says it is not ready, so
        that balancers notice. Setting `hurry` ends the drain at once.
        """
        self._client = TritonClient(self._settings.triton.address)
        self._supervisor = self._build_supervisor()
        rest, grpc = self._build_faces()
        try:
            await rest.open()
            await grpc.open()
            if not await _first(self._supervisor.start(), stop):
                return
            on_ready()
            draining = asyncio.create_task(self._drain(rest, grpc, notice=await stop))
            hurried = asyncio.create_task(hurry.wait())
            await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
            hurried.cancel()
            if draining.done():
                draining.result()
            draining.cancel()
        finally:
            await rest.close(0)
            await grpc.close(0)
            _log.info("stopping triton")
            await self._supervisor.stop(at_once=hurry.is_set())
            await self._client.close()

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

    def _build_supervisor(self) -> Supervisor:
        ensembles = [package.ensemble for package in self._packages]
        known = [(_model(package), package.golden, package.golden.image.read_bytes()) for package in self._packages]

        async def answers() -> bool:
            ready = [await self._client.is_ready(ensemble, timeout=1.0) for ensemble in ensembles]
            return all(ready)

        async def verify() -> None:
            for model, expected, image in known:
                await golden.verify(self._client, model, expected, image)

        return Supervisor(
            launch=lambda: TritonProcess(
                self._installation, self._settings.repository, ensembles, self._settings.triton
            ),
            answers=answers,
            verify=verify,
            readiness=self._readiness,
            restarted=self._metrics.triton_restarted,
            start_timeout=self._settings.triton.start_timeout,
        )

    def _build_faces(self) -> tuple[RestFace, GrpcFace]:
        gate = Gate(self._settings.gate)
        catalogue = Catalogue([_model(package) for package in self._packages])
        service = Service(self._readiness, gate, catalogue, self._admission, self._client, self._metrics)
        rest = rest_app.create(service, gate, catalogue, self._readiness, self._metrics)
        vision = Vision(service, catalogue, self._readiness, self._metrics)
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


def _model(package: ModelPackage) -> Model:
    return Model(
        identity=ModelIdentity(package.name, package.version, package.digest),
        ensemble=package.ensemble,
        labels=package.labels,
        description=str(package.table.get("description", "")),
        licence=str(package.table.get("source", {}).get("licence", "")),
    )
