"""Keep a tritonserver running: start it, prove that it answers rightly, revive what dies, start it again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from fovea_server.errors import FoveaError, StartError
from fovea_server.logs import get_logger
from fovea_server.own_processes import OwnProcess
from fovea_server.triton import leftovers, watch
from fovea_server.triton.crash_loop import CrashLoop, CrashLoopSettings
from fovea_server.triton.process import TritonProcess, exit_in_words, sweep
from fovea_server.triton.watch import Trouble, Watch, WatchSettings

_log = get_logger("supervisor")

_POLL = 0.05  # seconds between looks while it starts, and for room
_PAUSE = 1.0  # seconds before Triton is looked at again after that failed
_REMEDY = "build the model with `fovea models build --force`, or do without an added one: `fovea models remove NAME`"


class Readiness(Protocol):
    """Who is told whether requests may be taken."""

    def ready(self, start_seconds: float | None = None, revival_seconds: float | None = None) -> None: ...
    def not_ready(self, reason: str, pause: float = 0.0) -> None: ...
    def reviving(self, reason: str) -> None: ...
    def crash_loop(self, reason: str, next_try: float) -> None: ...


class Engine(watch.Engine, Protocol):
    """Triton, which can also give a model a new process."""

    async def revive(self, name: str, timeout: float) -> None: ...


class Tally(Protocol):
    """Who counts what happens."""

    def triton_restarted(self) -> None: ...
    def process_died(self) -> None: ...
    def model_revived(self) -> None: ...
    def crash_loop(self, looping: bool) -> None: ...


@dataclass(frozen=True)
class SupervisorSettings:
    """`start_timeout` is how many seconds a start may take, `revival_timeout` how many the loading of models again.

    A revival may take as long as the start did, if that is longer: where that took long, so will this.
    """

    start_timeout: float = 60.0
    watch: WatchSettings = field(default_factory=WatchSettings)
    crash_loop: CrashLoopSettings = field(default_factory=CrashLoopSettings)
    revival_timeout: float = 10.0


class Supervisor:
    """Owns the one TritonProcess of the moment.

    launch    makes a TritonProcess that is not started yet
    answers   whether the models say they are ready
    verify    raises a FoveaError unless the models answer rightly
    on_death  is called with the models that are lost (None: all) and the reason when Triton or a process of its models
              has died or hung, while the calls that this concerns are still under way; it must not raise
    """

    def __init__(
        self,
        launch: Callable[[], TritonProcess],
        engine: Engine,
        answers: Callable[[], Awaitable[bool]],
        verify: Callable[[], Awaitable[None]],
        readiness: Readiness,
        tally: Tally,
        settings: SupervisorSettings,
        on_death: Callable[[Collection[str] | None, str], None] = lambda lost, reason: None,
    ) -> None:
        self._launch = launch
        self._engine = engine
        self._answers = answers
        self._verify = verify
        self._readiness = readiness
        self._tally = tally
        self._settings = settings
        self._on_death = on_death
        self._crash_loop = CrashLoop(settings.crash_loop)
        self._process: TritonProcess | None = None
        self._watch: Watch | None = None
        self._start_seconds = 0.0
        self._keeping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The tritonserver of the moment."""
        return self._process.pid if self._process else None

    def processes(self) -> list[OwnProcess]:
        """tritonserver, and what runs its models; while it is started again, what there was before."""
        return self._watch.processes() if self._watch else []

    async def start(self) -> None:
        """Start and prove it; raises StartError where it does not come up. Afterwards it is watched."""
        await self._bring_up()
        self._keeping = asyncio.create_task(self._keep_running())

    async def stop(self, *, at_once: bool = False) -> None:
        """Stop watching, then end tritonserver: in order, or at once."""
        if self._keeping:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        if self._process and not at_once:
            await self._process.stop()
            self._process = None
        await self._discard()

    @contextlib.contextmanager
    def changing_models(self, leaving: Collection[str] = ()) -> Iterator[None]:
        """While models come and go, so do their processes: see Watch."""
        with self._watch.changing_models(leaving) if self._watch else contextlib.nullcontext():
            yield

    async def _keep_running(self) -> None:
        unforeseen = None
        while True:
            try:
                if unforeseen and not self._watched().lost() and not await self._revive(()):
                    await self._start_again(unforeseen)
                unforeseen = None
                await self._mend(await self._watched().until_trouble())
            except Exception as error:  # no file can be opened, for instance: who looks after Triton must go on
                _log.error("triton could not be looked after", exc_info=error)
                unforeseen = f"triton could not be looked after: {error}"
                await asyncio.sleep(_PAUSE)

    async def _mend(self, trouble: Trouble) -> None:
        if trouble.no_room:
            await self._wait_for_room(trouble.reason)
            return
        self._note_death(trouble)
        if not trouble.lost or self._crash_loop.looping or not await self._revive(trouble.lost):
            await self._start_again(trouble.reason)

    def _note_death(self, trouble: Trouble) -> None:
        """First of all nobody is sent here any more; then those who wait for what is gone are told."""
        self._crash_loop.died(time.monotonic())
        self._tally.process_died()
        if trouble.lost and not self._crash_loop.looping:
            self._readiness.reviving(f"{trouble.reason}; it is being revived")
        else:
            self._say_not_ready(trouble.reason)
        _log.error("triton is in trouble", reason=trouble.reason)
        lost, reason = trouble.lost or None, f"{trouble.reason} while this image was with it"
        self._on_death(lost, reason)
        self._engine.pulse.cut_off(lost, reason)

    async def _revive(self, models: Collection[str]) -> bool:
        """Load the models whose processes are gone; Triton gives each new ones. Whether all then answer rightly.

        A twin that lives on is ended first: nobody waits for it any more, and Triton 2.51 keeps it beside the new ones
        while requests come.
        """
        began = time.monotonic()
        if models and self._process:
            self._process.end_model_processes(models)
        ends = began + max(self._settings.revival_timeout, self._start_seconds)
        try:
            for model in sorted(models):
                await self._engine.revive(model, max(ends - time.monotonic(), 0.1))
            await self._verify()
        except Exception as error:  # whatever it is: a start is tried next
            _log.error("the models were not revived", models=sorted(models), reason=str(error))
            return False
        seconds = time.monotonic() - began
        if models:
            self._tally.model_revived()
        _log.info("the models are revived", models=sorted(models), seconds=round(seconds, 2))
        self._watched().revived()
        self._crash_loop.runs(time.monotonic())
        self._readiness.ready(revival_seconds=seconds if models else None)
        return True

    async def _start_again(self, reason: str) -> None:
        """End what is left, and try until it is up; giving up would leave the server dead for good."""
        while True:
            await self._discard()
            backoff = self._crash_loop.next_backoff()
            self._say_not_ready(reason, backoff)
            _log.error("triton is down", reason=reason, next_start_in=backoff, crash_loop=self._crash_loop.looping)
            await asyncio.sleep(backoff)
            self._tally.triton_restarted()
            try:
                return await self._bring_up()
            except Exception as error:  # whatever it is
                reason = str(error)
                self._crash_loop.died(time.monotonic())
                if not isinstance(error, StartError):
                    _log.error("triton did not start", exc_info=error)

    def _say_not_ready(self, reason: str, pause: float = 0.0) -> None:
        self._tally.crash_loop(self._crash_loop.looping)
        if self._crash_loop.looping:
            longest = self._settings.crash_loop.longest_backoff
            message = f"{self._crash_loop.in_words()}; tried again every {longest:g} s; the last: {reason}"
            self._readiness.crash_loop(message, longest)
        else:
            self._readiness.not_ready(f"{reason}; it is being started again", pause)

    async def _wait_for_room(self, reason: str) -> None:
        """Not ready until shared memory has room again: without it, who touches it dies."""
        _log.error("no room in shared memory", reason=reason)
        self._readiness.not_ready(reason)
        while leftovers.free_shared_memory() < self._settings.watch.shared_memory:
            sweep()
            if self._running().has_ended():
                return
            await asyncio.sleep(self._settings.watch.look)
        if self._watched().lost():
            return  # a death like any other, with calls that wait for what is gone
        if not await self._revive(()):
            await self._start_again(f"{reason}; then it did not answer rightly")

    async def _bring_up(self) -> None:
        began = time.monotonic()
        self._check_room()
        process = self._process = self._launch()
        try:
            await process.start()
            await self._until_answering(process, began)
            process.record_environments()
            await self._verify()
        except FoveaError as error:
            await self._discard()
            raise StartError(str(error), hint=_REMEDY) from error
        except OSError as error:
            await self._discard()
            raise StartError(f"tritonserver cannot be started: {error}", hint="see `fovea serve --help`") from error
        except BaseException:
            await self._discard()
            raise
        seconds = self._start_seconds = time.monotonic() - began
        _log.info("triton is ready", seconds=round(seconds, 2), pid=process.pid)
        self._watch = Watch(process, self._engine, self._verify, self._settings.watch)
        self._tally.crash_loop(False)
        self._crash_loop.runs(time.monotonic())
        self._readiness.ready(seconds)

    def _check_room(self) -> None:
        """Raise StartError where shared memory is full, also after what killed servers left there was removed."""
        sweep()
        free, needed = leftovers.free_shared_memory(), self._settings.watch.shared_memory
        if free < needed:
            raise StartError(watch.no_room_in_words(free, needed), hint=leftovers.MORE_ROOM)

    async def _until_answering(self, process: TritonProcess, began: float) -> None:
        start_timeout = self._settings.start_timeout
        while not await self._answers():
            if process.has_ended():
                code = await process.wait()
                raise StartError(
                    f"tritonserver ended with {exit_in_words(code)}: {await process.last_complaint()}",
                    hint="run `fovea serve --log-level debug` for its whole log",
                )
            if time.monotonic() - began > start_timeout:
                raise StartError(
                    f"tritonserver was not ready within {start_timeout:g} s: {await process.last_complaint()}",
                    hint="give it longer with --start-timeout, or read its log with --log-level debug",
                )
            await asyncio.sleep(_POLL)

    async def _discard(self) -> None:
        if self._process:
            await self._process.clean_up()
            self._process = None

    def _watched(self) -> Watch:
        assert self._watch is not None
        return self._watch

    def _running(self) -> TritonProcess:
        assert self._process is not None
        return self._process
