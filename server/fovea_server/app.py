"""Build every part, give each what it needs, and run them from start to drain. The only file that knows everyone."""

from __future__ import annotations

import asyncio
import importlib
import os
import secrets
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fovea_pipelines import precision
from fovea_pipelines.engines.choice import engine_of
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.triton_folders import GPU_BATCH
from fovea_server import state_folder
from fovea_server.access import policy
from fovea_server.endings import each_in_turn
from fovea_server.entrance import Entrance
from fovea_server.errors import StartError
from fovea_server.feature_log import opening
from fovea_server.feature_log.keeping import Keeping
from fovea_server.logs import get_logger
from fovea_server.metrics import Metrics
from fovea_server.request.admission import ledger
from fovea_server.request.court import Court
from fovea_server.request.readiness import Readiness
from fovea_server.request.roster import Roster
from fovea_server.settings import Settings
from fovea_server.triton import belongings, device, installation, ports, process, tuned
from fovea_server.triton.client import TritonClient
from fovea_server.triton.process import TritonProcess
from fovea_server.triton.repository import Repositories
from fovea_server.triton.supervisor import Supervisor, SupervisorSettings
from fovea_server.workers.followers import Followers

if TYPE_CHECKING:
    from fovea_server.edge.http_face import ControlFace
    from fovea_server.gateway import Gateway

_log = get_logger("app")


async def serve(
    settings: Settings, stop: asyncio.Future[float], hurry: asyncio.Event, on_ready: Callable[[], None]
) -> None:
    """Serve until `stop` has a result, on the GPU where one was found; should the models not run there after all and
    nobody insists, on the CPU, with all that depends on it built anew. Raises StartError."""
    try:
        await App(settings).run(stop, hurry, on_ready)
        return
    except GpuCannotServe as error:
        _log.warning("the gpu cannot serve, so the cpu does", reason=str(error))
    await App(replace(settings, device="cpu")).run(stop, hurry, on_ready)


class GpuCannotServe(StartError):
    """A GPU was found, and Triton does not come up on it."""


class App:
    """The first gateway process of a server, the Triton it looks after, and the processes that follow it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        process.sweep()
        state_folder.check(settings.state)
        self._entrance = Entrance.of(settings)
        self._say_who_may_ask()
        self._repositories = Repositories(settings.repository, settings.state, moment=process.folder_of_this_gateway())
        self._packages = self._repositories.packages()
        self._device = device.choose(settings.device, self._packages, in_container=installation.is_container())
        _log.info("device", device=self._device.device, name=self._device.name, reason=self._device.reason)
        self._installation = installation.find(self._device.device)
        self._check_ports()
        wish = settings.tuned if self._device.device == "cpu" else tuned.OFF
        self._tuned = tuned.chosen(wish, settings.state, self._packages)
        batch = GPU_BATCH if self._device.device == "cuda" else tuned.largest_batch(self._tuned)
        if batch:
            self._settings = replace(settings, admission=replace(settings.admission, batch=batch))
        self._sockets = process.shared_folder_of_this_gateway()
        triton = replace(settings.triton, socket=str(self._sockets / "triton"))
        self._settings = replace(self._settings, triton=triton)
        if settings.workers > 1:
            admission = replace(self._settings.admission, quotas=ledger.shared_memory())
            self._settings = replace(self._settings, admission=admission)
        self._repositories = self._repositories.tuned(self._tuned, process.folder_of_this_gateway)
        self._key = secrets.token_urlsafe(24)  # to Triton's API for loading models
        self._metrics = Metrics()
        self._keeping = self._build_keeping()
        self._readiness = Readiness()
        self._readiness.on_change(self._metrics.triton_up)
        self._court = Court(self._readiness)
        self._gateway: Gateway | None = None
        self._control: ControlFace | None = None
        self._is_open = asyncio.Event()

    async def run(self, stop: asyncio.Future[float], hurry: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Serve until `stop` has a result, then drain. Raises StartError where Triton does not come up.

        The result is for how many seconds a stopping server still answers while it already says it is not ready, so
        that balancers notice. Setting `hurry` ends the drain at once.
        """
        self._client = TritonClient(
            self._settings.triton, self._key, self._settings.admission.most_in_flight, self._readiness.again_in
        )
        self._roster = self._build_roster()
        self._readiness.on_change(lambda ready: self._roster.name_engines() if ready else None)
        self._supervisor = self._build_supervisor()
        self._metrics.watch_processes(self._supervisor.processes)
        self._followers = Followers(self._settings, self._readiness, self._roster.catalogue, self._metrics, self._court)
        await each_in_turn(
            lambda: self._serve(stop, hurry, on_ready),
            self._close_control,
            self._end_gateway,
            lambda: self._followers.stop(at_once=hurry.is_set()),
            self._stop_keeping,
            lambda: self._stop_triton(at_once=hurry.is_set()),
            self._client.close,
            self._remove_files,
        )
        _log.info("stopped")

    async def _serve(self, stop: asyncio.Future[float], hurry: asyncio.Event, on_ready: Callable[[], None]) -> None:
        if self._keeping:
            self._keeping.start()
            self._metrics.watch_processes(self._keeping.processes)
        starting = asyncio.create_task(self._start())
        try:
            # What the faces are made of takes a second of a core to import, in which Triton starts already.
            await asyncio.to_thread(importlib.import_module, "fovea_server.gateway")
            if stop.done():
                return
            if starting.done():  # what keeps Triton from starting is said before what may follow from it
                starting.result()
            gateway = await self._open_faces()
            if not await _first(starting, stop):
                return
        finally:
            starting.cancel()
            await asyncio.wait({starting})
        on_ready()
        draining = asyncio.create_task(self._drain(gateway, notice=await stop))
        hurried = asyncio.create_task(hurry.wait())
        await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if draining.done():
            draining.result()
        draining.cancel()
        await asyncio.wait({draining})

    async def _open_faces(self) -> Gateway:
        from fovea_server.edge import control_app
        from fovea_server.edge.http_face import ControlFace
        from fovea_server.gateway import Gateway

        gateway = self._gateway = Gateway(
            self._settings,
            self._entrance,
            self._readiness,
            self._roster.catalogue,
            self._client,
            self._metrics,
            self._followers.exposition,
            self._court,
            is_first=True,
        )
        self._court.join(gateway.suspects)
        await gateway.open()
        app = control_app.create(self._roster, self._metrics, gateway.model_is_needed)
        self._control = ControlFace(app, self._settings.state)
        await self._control.open()
        self._is_open.set()
        return gateway

    async def _close_control(self) -> None:
        if self._control:
            await self._control.close(0)

    async def _end_gateway(self) -> None:
        if self._gateway:
            await self._gateway.end()

    async def _stop_keeping(self) -> None:
        if self._keeping:
            await self._keeping.stop()

    async def _stop_triton(self, *, at_once: bool) -> None:
        _log.info("stopping triton")
        self._client.hang_up()
        await self._supervisor.stop(at_once=at_once)

    async def _remove_files(self) -> None:
        self._repositories.remove_what_is_of_the_moment()
        belongings.remove(self._sockets)
        if self._settings.admission.quotas is not None:
            os.close(self._settings.admission.quotas)
        for port in self._held:
            port.close()

    async def _start(self) -> None:
        """Triton and the followers side by side; returns once all that is public answers."""
        followers = asyncio.create_task(self._followers.start())
        try:
            await self._start_triton()
            await followers
            await self._followers.agree()
        finally:
            followers.cancel()
            await asyncio.wait({followers})

    async def _start_triton(self) -> None:
        """Raises GpuCannotServe where the models do not run on the GPU that was found, and nobody insists on it."""
        try:
            await self._supervisor.start()
        except StartError as error:
            if self._device.device == "cpu" or self._settings.device == "cuda":
                raise
            raise GpuCannotServe(str(error), error.hint) from error

    async def _drain(self, gateway: Gateway, notice: float) -> None:
        """Say not ready, let balancers notice, let what was accepted finish; Triton ends last."""
        _log.info("draining", notice_seconds=notice)
        self._readiness.drain()
        await asyncio.sleep(notice)
        grace = self._settings.drain_timeout
        await asyncio.gather(gateway.close(grace), self._followers.close(grace))
        _log.info("drained", in_flight=gateway.in_flight)

    def _say_who_may_ask(self) -> None:
        edge = self._settings.edge
        if policy.is_loopback(edge.host):
            return
        if self._entrance.guard is None:
            _log.warning("everybody who reaches this address may ask", host=edge.host)
        elif self._entrance.certificates is None:
            _log.warning("keys travel unencrypted: --tls-certificate, or a proxy with TLS in front", host=edge.host)

    def _check_ports(self) -> None:
        edge, triton = self._settings.edge, self._settings.triton
        public = [(edge.host, edge.rest_port, "REST"), (edge.host, edge.grpc_port, "gRPC")]
        wanted = [
            *public,
            ("127.0.0.1", triton.grpc_port, "Triton's gRPC"),
            ("127.0.0.1", triton.metrics_port, "Triton's metrics"),
            ("127.0.0.1", triton.http_port, "Triton's HTTP"),
        ]
        ports.check_all_free([each for each in wanted if each[1]])
        self._held = ports.hold(public) if self._settings.workers > 1 else []

    def _build_keeping(self) -> Keeping | None:
        chosen = self._settings.feature_log
        if not chosen:
            return None
        return Keeping(opening.places(chosen.location, self._settings.state), chosen, self._metrics)

    def _build_roster(self) -> Roster:
        return Roster(
            self._repositories,
            self._packages,
            self._client,
            self._readiness,
            changing=lambda leaving: self._supervisor.changing_models(leaving),
            engine_of=lambda package: engine_of(package, self._device.device, self._precision_of(package)),
            in_one=lambda package: self._device.device == "cpu" and package.is_in_one_on_a_cpu,
        )

    def _precision_of(self, package: ModelPackage) -> str:
        """What was asked for; else what was tuned."""
        asked, setting = self._settings.triton.precision, self._tuned.get(package.ensemble)
        return setting.precision if asked == precision.AUTO and setting else asked

    def _build_supervisor(self) -> Supervisor:
        async def answers() -> bool:
            ready = [await self._client.is_ready(ensemble, timeout=1.0) for ensemble in self._roster.ensembles]
            return all(ready)

        async def verify() -> None:
            await self._is_open.wait()  # who sees that it is ready may ask it for anything, and take models in and out
            await self._roster.verify()

        return Supervisor(
            launch=lambda: TritonProcess(
                self._installation,
                self._repositories.folders,
                self._roster.ensembles,
                self._settings.triton,
                self._key,
            ),
            engine=self._client,
            answers=answers,
            verify=verify,
            readiness=self._readiness,
            tally=self._metrics,
            settings=self._patience(),
            on_death=self._on_death,
        )

    def _patience(self) -> SupervisorSettings:
        settings = SupervisorSettings(crash_loop=self._settings.crash_loop)
        if self._device.device == "cuda":  # CUDA's libraries are large, and cuDNN plans for each size of batch
            settings = replace(settings, start_timeout=180.0, revival_timeout=60.0)
        given = self._settings.triton.start_timeout
        return replace(settings, start_timeout=given) if given else settings

    def _on_death(self, lost: Collection[str] | None, reason: str) -> None:
        if self._gateway:
            self._gateway.triton_died()
        self._followers.cut_off(lost, reason)


async def _first(starting: asyncio.Task[None], stop: asyncio.Future[float]) -> bool:
    """Whether the start came to its end before somebody asked to stop."""
    both: set[asyncio.Future[Any]] = {starting, stop}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        return False
    starting.result()
    return True
