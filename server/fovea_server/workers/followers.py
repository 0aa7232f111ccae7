"""All followers of a server: started with it, told of every change, started again when they die, counted together."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Coroutine, Sequence
from typing import Any

from fovea_server import exposition
from fovea_server.errors import StartError
from fovea_server.exposition import Family
from fovea_server.logs import get_logger
from fovea_server.metrics import WORST, Metrics
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.court import Court
from fovea_server.request.readiness import Readiness
from fovea_server.settings import Settings
from fovea_server.workers.channel import ChannelClosed, Refused
from fovea_server.workers.process import FollowerProcess, Gone
from fovea_server.workers.state import State

_log = get_logger("workers")

_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.25, 30.0  # seconds between a death and the next start
_STEADY_AFTER = 60.0  # seconds of service after which the back-off begins anew
_START_SECONDS = 60.0
_LOOK = 2.0  # seconds between two looks at what a follower counted
_PATIENCE = 10.0  # seconds it may take to say: its ports stay open when it hangs, and callers would hang with it
_HINT = "the log says more; `--workers 1` does without it"
_AT_A_SCRAPE = 1.0  # seconds; whoever takes longer is counted as it was last seen


class Followers:
    """None where the server has one worker: there is then nobody to start, to tell or to wait for."""

    def __init__(
        self, settings: Settings, readiness: Readiness, catalogue: Catalogue, metrics: Metrics, court: Court
    ) -> None:
        self._settings = settings
        self._readiness = readiness
        self._catalogue = catalogue
        self._metrics = metrics
        self._court = court
        self._alive: dict[int, FollowerProcess] = {}
        self._departed: list[Family] = []  # what those counted that are no more
        self._keeping: list[asyncio.Task[None]] = []
        self._telling: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def start(self) -> None:
        """Returns once each of them serves; raises StartError where one does not."""
        self._readiness.on_change(lambda _: self._soon(self.agree()))
        self._catalogue.everywhere = self.agree
        starting = [asyncio.create_task(self._begin(worker)) for worker in range(1, self._settings.workers)]
        try:
            for one in starting:
                self._keeping.append(asyncio.create_task(self._keep(await one)))
        finally:
            await _cancelled(starting)

    async def agree(self) -> None:
        """Return once every one of them is as this process is now, or is no more."""
        state = State.of(self._readiness, self._catalogue)
        await asyncio.gather(*(_tell(follower, state) for follower in self._alive.values()))

    def cut_off(self, models: Collection[str] | None, reason: str) -> None:
        """End their calls that need one of these models, or all: what answers them is gone.

        They hear first what `agree` has for them at this moment: whoever is cut off and asks again must not be let in.
        """
        self._soon(self._cut_off(models, reason))

    async def exposition(self) -> bytes:
        """The metrics of all processes as if they were one."""
        await asyncio.gather(*(_look_at(follower) for follower in self._alive.values()))
        # In one step: who was buried meanwhile is among the departed, and must not be counted as alive too.
        counted = (follower.counted for follower in self._alive.values())
        everyone = [self._metrics.collected(), self._departed, *counted]
        return exposition.text(exposition.merged(everyone, WORST))

    async def close(self, grace: float) -> None:
        """All at once: take nothing more, give what is being answered `grace` seconds."""
        self._stopping = True
        await asyncio.gather(*(one.close(grace) for one in self._alive.values()), return_exceptions=True)

    async def stop(self, *, at_once: bool) -> None:
        self._stopping = True
        await _cancelled([*self._keeping, *self._telling])
        if at_once:
            for one in self._alive.values():
                one.kill()
        await asyncio.gather(*(one.end() for one in self._alive.values()))

    async def _begin(self, worker: int) -> int:
        """Start one; returns its number once it serves."""
        began = time.monotonic()
        try:
            handlers = {"exposition": self._text}
            follower = await FollowerProcess.start(self._settings, worker, handlers, self._court)
        except OSError as error:
            raise StartError(f"gateway process {worker} cannot be started: {error}", _HINT) from error
        self._alive[worker] = follower
        self._court.join(follower.door)
        if self._stopping:
            return worker  # who is told nothing opens no port
        try:
            await asyncio.wait_for(follower.tell(State.of(self._readiness, self._catalogue)), _START_SECONDS)
        except Gone as error:
            follower.kill()
            await self._bury(worker)  # it may have been counted already, at a scrape
            why = str(error) or f"it did not answer within {_START_SECONDS:g} s"
            raise StartError(f"gateway process {worker} does not serve: {why}", _HINT) from error
        _log.info("worker serves", worker=worker, pid=follower.pid, seconds=round(time.monotonic() - began, 2))
        return worker

    async def _keep(self, worker: int) -> None:
        backoff = _FIRST_BACKOFF
        while not self._stopping:
            began = time.monotonic()
            code = await self._until_gone(self._alive[worker])
            if self._stopping:
                return
            _log.error("worker is gone", worker=worker, exit=code, next_start_in=backoff)
            await self._bury(worker)
            if time.monotonic() - began > _STEADY_AFTER:
                backoff = _FIRST_BACKOFF
            backoff = await self._start_again(worker, backoff)

    async def _start_again(self, worker: int, backoff: float) -> float:
        """Try until it serves; the back-off to begin with next time."""
        while True:
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF)
            self._metrics.worker_restarted()
            try:
                await self._begin(worker)
            except StartError as error:
                _log.error("worker did not start", worker=worker, reason=str(error), next_start_in=backoff)
            else:
                return backoff

    async def _until_gone(self, follower: FollowerProcess) -> int:
        """Its exit code; one that does not answer any more is ended."""
        ended = asyncio.create_task(follower.wait())
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=_LOOK)
                try:
                    await follower.count(_PATIENCE)
                except Gone as error:
                    if not isinstance(error, ChannelClosed):
                        _log.error("worker does not answer, so it is ended", pid=follower.pid, seconds=_PATIENCE)
                    follower.kill()
            return ended.result()
        finally:
            ended.cancel()

    async def _bury(self, worker: int) -> None:
        """What it counted stays counted: a sum that falls would look like a start from nothing."""
        follower = self._alive.pop(worker)
        self._court.leave(follower.door)
        counted = exposition.counted(follower.counted)
        self._departed = exposition.merged([self._departed, counted], WORST)
        await follower.end()

    async def _cut_off(self, models: Collection[str] | None, reason: str) -> None:
        await asyncio.gather(*(_cut_off(follower, models, reason) for follower in self._alive.values()))

    async def _text(self) -> str:
        return (await self.exposition()).decode()

    def _soon(self, telling: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(telling)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


async def _tell(follower: FollowerProcess, state: State) -> None:
    """Returns once it is as the state says. One that cannot be so is ended, or it would serve what is not so."""
    try:
        await follower.tell(state)
    except ChannelClosed:
        return
    except Refused as error:
        _log.error("worker cannot follow", pid=follower.pid, reason=str(error))
        follower.kill()


async def _cut_off(follower: FollowerProcess, models: Collection[str] | None, reason: str) -> None:
    with contextlib.suppress(*Gone):
        await follower.cut_off(models, reason)


async def _look_at(follower: FollowerProcess) -> None:
    with contextlib.suppress(*Gone):
        await follower.count(_AT_A_SCRAPE)


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
