"""Notice what is wrong with a running Triton: it or a model's process died, hangs, answers wrongly, has no room."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from fovea_server.errors import DeadlineExceeded
from fovea_server.logs import get_logger
from fovea_server.own_processes import OwnProcess
from fovea_server.triton import leftovers
from fovea_server.triton.idleness import are_idle
from fovea_server.triton.pidfds import Endings
from fovea_server.triton.process import Instance, TritonProcess, exit_in_words, instances_of
from fovea_server.triton.pulse import Pulse

_log = get_logger("watch")
_SEARCHES = 3


@dataclass(frozen=True)
class WatchSettings:
    """Seconds, and bytes that must be free in /dev/shm.

    look     between two looks; a death is seen at once where the kernel has pidfds, and so is an answer that shows
             one of a model's processes to be beyond help
    search   between two searches for all processes of models, while those found are alive
    silence  without any answer, while a call waits and nothing computes, after which something hangs
    sample   for which nothing must have computed
    endless  that a process may compute on one batch, where others run the same model: a process alone is judged by the
             golden images it does not answer
    live     that Triton may take to say that it lives: where others have the CPU, it is late and not hung
    probe    between two questions with the golden image, `probes` of which must fail in a row
    """

    look: float = 0.5
    search: float = 5.0
    silence: float = 1.5
    sample: float = 0.5
    endless: float = 30.0
    live: float = 2.0
    probe: float = 5.0
    probes: int = 2
    shared_memory: int = 8 << 20


class Engine(Protocol):
    """Triton, as a client knows it."""

    @property
    def pulse(self) -> Pulse: ...
    async def is_live(self, timeout: float) -> bool: ...


@dataclass(frozen=True)
class Trouble:
    """What is wrong, in words. `lost` are the models whose processes are gone while Triton itself is well."""

    reason: str
    lost: frozenset[str] = frozenset()
    no_room: bool = False


class Watch:
    """Over one run of tritonserver; `verify` asks the golden images."""

    def __init__(
        self, process: TritonProcess, engine: Engine, verify: Callable[[], Awaitable[None]], settings: WatchSettings
    ) -> None:
        self._process = process
        self._engine = engine
        self._verify = verify
        self._settings = settings
        self._changes = 0  # of models, under way
        self._instances = process.instances()  # each of which a process is to run
        self._found: dict[int, Instance] = {}  # by the last search
        self._searched = -math.inf
        engine.pulse.unhealthy.clear()  # of a run before this one

    def processes(self) -> list[OwnProcess]:
        """tritonserver, and what is still there of the models' processes that the last search found."""
        there = instances_of(self._found)
        models = [OwnProcess(instance.model, instance.number, pid) for pid, instance in there.items()]
        return [OwnProcess("tritonserver", "0", self._process.pid), *models]

    @contextlib.contextmanager
    def changing_models(self, leaving: Collection[str] = ()) -> Iterator[None]:
        """While models come and go, so do their processes: none of them is taken for lost before it is over, and those
        of the models that are `leaving` not afterwards either.
        """
        self._changes += 1
        try:
            yield
        finally:
            self._changes -= 1
            expected = self._instances | self._process.instances()
            self._instances = frozenset(each for each in expected if each.model not in leaving)
            self._searched = -math.inf

    async def until_trouble(self) -> Trouble:
        endings, ailing = Endings(), self._engine.pulse.ailing
        ended = asyncio.create_task(self._process.wait())
        probes = asyncio.create_task(self._until_mute())
        try:
            while True:
                endings.ended.clear()
                ailing.clear()
                running = self._running()
                endings.follow(running)
                if ended.done():
                    return Trouble(f"tritonserver ended with {exit_in_words(ended.result())}")
                lost = self._missing(running) and self.lost()
                if trouble := await self._look(lost, probes):
                    return trouble
                await _first_of(ended, endings.ended, ailing, seconds=self._settings.look)
        finally:
            endings.close()
            ended.cancel()
            probes.cancel()

    def lost(self) -> frozenset[str]:
        """The models of which a process is gone."""
        return self._missing(self._process.instances_by_pid())

    def revived(self) -> None:
        """What runs now is what must go on running; what was wrong was wrong with what ran before.

        What was killed may still be ending, and a search then overlooks others: what several find is what there is.
        """
        self._instances = frozenset[Instance]().union(*(self._process.instances() for _ in range(_SEARCHES)))
        self._process.forget_who_ended()
        self._searched = -math.inf
        self._engine.pulse.unhealthy.clear()

    def _running(self) -> Mapping[int, Instance]:
        """As the last search found them, where that was lately, they are all still there, and none is missing."""
        now = time.monotonic()
        if now >= self._searched + self._settings.search or instances_of(self._found) != self._found:
            self._found = self._process.instances_by_pid()
            self._searched = -math.inf if self._missing(self._found) else now
        return self._found

    def _missing(self, running: Mapping[int, Instance]) -> frozenset[str]:
        gone = frozenset() if self._changes else self._instances.difference(running.values())
        return frozenset(each.model for each in gone)

    async def _look(self, lost: frozenset[str], probes: asyncio.Task[Trouble]) -> Trouble | None:
        if lost:
            return Trouble(f"a model's process ended ({', '.join(sorted(lost))})", lost)
        if (free := leftovers.free_shared_memory()) < self._settings.shared_memory:
            return Trouble(no_room_in_words(free, self._settings.shared_memory), no_room=True)
        if probes.done():
            return probes.result()
        if unhealthy := frozenset() if self._changes else self._engine.pulse.unhealthy:
            return self._hung(unhealthy, "Triton says that it is not healthy, or has no memory")
        if not self._changes and self._engine.pulse.silence() > self._settings.silence:
            return await self._judge_silence()
        return None if self._changes else await self._judge_instances()

    async def _judge_silence(self) -> Trouble | None:
        """Nothing was answered for a while: a hung process computes nothing meanwhile."""
        pulse = self._engine.pulse
        live = await self._engine.is_live(timeout=self._settings.live)
        if not await self._is_idle() or self._changes or self.lost():
            return None  # what is lost is seen at the next look
        if not live:
            return Trouble(f"tritonserver hangs: nothing was answered for {pulse.silence():.1f} s")
        if pulse.silence() < self._settings.silence:
            return None
        return self._hung(pulse.waited_for(), f"nothing was answered for {pulse.silence():.1f} s")

    async def _judge_instances(self) -> Trouble | None:
        """Where several processes run one model, the others answer while one hangs."""
        settings, found = self._settings, self._found
        instances = Counter(instance.model for instance in found.values())
        at_work = {pid: self._process.seconds_at_work(pid) for pid in found if instances[found[pid].model] > 1}
        resting = {found[pid].model for pid, seconds in at_work.items() if seconds is not None}
        for pid, seconds in at_work.items():
            if seconds is None or seconds <= settings.silence:
                continue
            model = found[pid].model
            if seconds > settings.endless or await self._is_idle([pid]):
                if self._changes or self.lost():
                    return None  # what is lost is seen at the next look
                if (self._process.seconds_at_work(pid) or 0.0) > seconds:
                    return self._hung([model], f"it was at work on one batch for {seconds:.1f} s")
            resting.discard(model)  # it computes, and what was overtaken may be with it
        if overtaken := resting and await self._given_and_not_begun(resting):
            why = f"an image was not answered while one was that came {settings.silence:g} s later"
            return self._hung(overtaken, why)
        return None

    async def _given_and_not_begun(self, models: Collection[str]) -> frozenset[str]:
        """Those of the models that a call waits for, overtaken, which none of their processes can be at work on."""
        pulse, sample = self._engine.pulse, self._settings.sample
        pids = [pid for pid, instance in self._found.items() if instance.model in models]
        waiting = pulse.overtaken(self._settings.silence)
        for _ in range(2):  # the second time, an answer that was on its way has come
            if not waiting:
                return frozenset()
            await asyncio.sleep(sample)
            if self._changes or self.lost() or any((self._process.seconds_at_work(pid) or 0) >= sample for pid in pids):
                return frozenset()
            waiting &= pulse.overtaken(self._settings.silence)
        return frozenset[str]().union(*(flight.models for flight in waiting)) & frozenset(models)

    async def _is_idle(self, pids: Collection[int] = ()) -> bool:
        """Whether these processes, or all of Triton's, compute nothing."""
        pids = pids or [self._process.pid, *self._process.instances_by_pid()]
        return await are_idle(pids, self._settings.sample)

    def _hung(self, models: Collection[str], why: str) -> Trouble:
        """What hangs is killed, so that it can be revived as what has died can: perhaps by itself, a moment ago."""
        running = self._instances.union(self._process.instances())
        hung = frozenset(each.model for each in running) & frozenset(models)
        if not hung:
            return Trouble(f"tritonserver hangs: {why}")
        self._process.end_model_processes(hung)
        return Trouble(f"a model's process hung ({', '.join(sorted(hung))}): {why}", hung)

    async def _until_mute(self) -> Trouble:
        """Return once the golden image was answered wrongly, or not at all, several times in a row."""
        failures = 0
        while True:
            await asyncio.sleep(self._settings.probe)
            try:
                await self._verify()
                failures = 0
            except Exception as error:  # anything: a watch that ends by itself watches nothing
                stalled = self._engine.pulse.stalled(self._settings.probe)
                if isinstance(error, DeadlineExceeded) and not stalled:
                    continue  # busy: others were answered meanwhile
                failures += 1
                _log.warning("the golden image was not answered rightly", reason=str(error), times=failures)
                if failures == self._settings.probes:
                    why = f"the golden image was not answered rightly {failures} times: {error}"
                    return self._hung(stalled, why) if isinstance(error, DeadlineExceeded) else Trouble(why)


async def _first_of(ended: asyncio.Task[int], *events: asyncio.Event, seconds: float) -> None:
    woken = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait({ended, *woken}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiting in woken:
            waiting.cancel()


def no_room_in_words(free: int, needed: int) -> str:
    return f"{leftovers.SHARED_MEMORY} has {free:,} bytes free; the models' processes need {needed:,}"
