"""Find out which image it is that ends Triton's processes, and ask Triton about it no more.

At a death many images are inside, and one of them may be the cause. So each of them gets a strike. An answer takes an
image's strikes away again: what ends processes is not answered. While few images are under suspicion they are run
alone, and one that has a strike and is alone inside at the next death is quarantined. A bystander is never alone with
a death that another image caused, however often it is sent; an image that is the cause is quarantined at its second
death, or, where four others or more were inside at the first and were not sent again, at its third.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import OrderedDict, deque
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from fovea_server.domain import Deadline, Inference, Model
from fovea_server.errors import DeadlineExceeded, InferenceFailed, Undecodable
from fovea_server.logs import get_logger
from fovea_server.request.quarantine import Quarantine, digest_of
from fovea_server.request.readiness import Readiness
from fovea_server.request.service import InferenceEngine
from fovea_server.triton.client import WorkerDied

_log = get_logger("suspects")

_FEW = 4  # images with at least as many strikes that are each run alone
_MOST_STRIKES = 1024  # images under suspicion; the oldest is forgotten
_LONGEST_ALONE = 5.0  # seconds that all others wait for one image
_LEFT_SECONDS, _LEFT_IMAGES, _LEFT_BYTES = 5.0, 64, 64_000_000  # callers that went away; their images may be inside
_ONE_DEATH = 30.0  # seconds in which further losses belong to the same death, unless Triton is ready again before


_T = TypeVar("_T")


@dataclass(frozen=True)
class _Visit:
    """An image inside Triton."""

    image: bytes
    models: tuple[Model, ...]
    request_id: str


@dataclass
class _Strikes:
    count: int
    size: int


class Suspects:
    """An InferenceEngine around another that watches what is inside when Triton dies, and lets nothing in while what
    died is being revived.

    Where others ask the same Triton, nobody knows of an image that it was alone: then none is suspected, and only
    what is in quarantine already is refused.
    """

    def __init__(
        self, engine: InferenceEngine, quarantine: Quarantine, readiness: Readiness, *, others_ask: bool = False
    ) -> None:
        self._engine = engine
        self._quarantine = quarantine
        self._readiness = readiness
        self._others_ask = others_ask
        self._inside: dict[int, _Visit] = {}
        self._numbers = itertools.count()
        self._left: deque[tuple[float, _Visit]] = deque()
        self._strikes: OrderedDict[str, _Strikes] = OrderedDict()
        self._sizes: frozenset[int] = frozenset()  # of the images that have strikes
        self._same_death_until = float("-inf")
        self._work: set[asyncio.Task[Any]] = set()
        self._judging: set[asyncio.Task[None]] = set()
        self._turn_is_taken = False  # by the image that is run alone
        self._news = asyncio.Event()  # for those who wait for it; a new one each time
        self._open, self._empty = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._empty.set()
        readiness.on_change(self._on_readiness)

    async def infer(
        self, models: Sequence[Model], image: bytes, request_id: str, deadline: Deadline
    ) -> list[Inference]:
        """As the engine within does; raises Quarantined for an image that ended a process twice."""
        visit = _Visit(image, tuple(models), request_id)
        if not self._may_be_known(visit):
            return await self._beside_others(visit, deadline)
        return await self._known(visit, deadline)

    def _may_be_known(self, visit: _Visit) -> bool:
        """Only then is it worth being hashed."""
        size = len(visit.image)
        return size in self._sizes or self._quarantine.might_hold(size)

    async def _known(self, visit: _Visit, deadline: Deadline) -> list[Inference]:
        digest = await asyncio.to_thread(digest_of, visit.image)
        self._quarantine.check(digest)
        if self._is_suspect(digest):
            return await self._apart(visit, deadline, digest)
        return await self._beside_others(visit, deadline, digest)

    def _is_suspect(self, digest: str) -> bool:
        """Whether it has a strike, and only few images have as many."""
        mine = self._strikes.get(digest)
        return mine is not None and sum(each.count >= mine.count for each in self._strikes.values()) <= _FEW

    async def _apart(self, visit: _Visit, deadline: Deadline, digest: str) -> list[Inference]:
        """One suspect after the other, until it is none any more: convicted, or acquitted by the answer to a copy."""
        while self._is_suspect(digest):
            if self._turn_is_taken:
                await _event(self._news, deadline, "another image was run alone")
            elif self._judging:
                await self._verdicts(deadline)
            else:
                self._turn_is_taken = True
                return await self._in_time(self._started(self._alone(visit, deadline, digest)), deadline)
        return await self._beside_others(visit, deadline, digest)

    async def _alone(self, visit: _Visit, callers: Deadline, digest: str) -> list[Inference]:
        """Answered while nothing else is inside. Its caller may go away meanwhile: the verdict is still wanted.

        Then everybody else has as much time, from when they could have gone in, before the next suspect's turn.
        """
        began = math.inf
        self._open.clear()
        try:
            await self._readiness.settled(callers)
            began = time.monotonic()
            await _event(self._empty, Deadline.after(_LONGEST_ALONE), "the images before it were being answered")
            emptied = time.monotonic()
            await self._readiness.settled(callers)  # what was inside may have ended a process
            began += time.monotonic() - emptied
            deadline = Deadline(began + _LONGEST_ALONE)
            await self._verdicts(deadline)
            self._quarantine.check(digest)
            return await self._visit(visit, deadline, digest)
        finally:
            self._open.set()
            asyncio.get_running_loop().call_later(max(time.monotonic() - began, 0), self._next_turn)

    def _next_turn(self) -> None:
        self._turn_is_taken = False
        self._tell()

    def _tell(self) -> None:
        """Those who wait for a turn look again whether they need one, and whether it is theirs."""
        self._news.set()
        self._news = asyncio.Event()

    async def _verdicts(self, deadline: Deadline) -> None:
        """Until it is known who is to blame for the last death."""
        while self._judging:
            await asyncio.wait(self._judging, timeout=max(deadline.remaining(), 0))
            if deadline.remaining() <= 0:
                raise DeadlineExceeded("the deadline passed while it was found out what ended a process")

    async def _beside_others(self, visit: _Visit, deadline: Deadline, digest: str | None = None) -> list[Inference]:
        """Once nothing is run alone, and what the last that was may have ended is revived."""
        await self._readiness.settled(deadline)
        while self._judging or not self._open.is_set():
            await self._verdicts(deadline)
            await _event(self._open, deadline, "another image was run alone")
            await self._readiness.settled(deadline)
        if digest is not None:
            self._quarantine.check(digest)
            if self._is_suspect(digest):  # since it came here, others were acquitted
                return await self._apart(visit, deadline, digest)
        elif self._may_be_known(visit):  # since it came here, and waited
            return await self._known(visit, deadline)
        return await self._visit(visit, deadline, digest)

    async def _visit(self, visit: _Visit, deadline: Deadline, digest: str | None) -> list[Inference]:
        try:
            with self._counted(visit):
                inferences = await self._engine.infer(visit.models, visit.image, visit.request_id, deadline)
        except (Undecodable, InferenceFailed):
            self._acquit(digest)  # that is an answer, too
            raise
        self._acquit(digest)
        return inferences

    def _acquit(self, digest: str | None) -> None:
        """What ends processes is not answered."""
        if digest is not None and digest in self._strikes:
            del self._strikes[digest]
            self._strikes_changed()

    async def _in_time(self, run: asyncio.Task[list[Inference]], deadline: Deadline) -> list[Inference]:
        await asyncio.wait({run}, timeout=max(deadline.remaining(), 0))
        if not run.done():
            raise DeadlineExceeded("the deadline passed while the image was to be run alone")
        return run.result()

    @contextmanager
    def _counted(self, visit: _Visit) -> Iterator[None]:
        number = next(self._numbers)
        self._inside[number] = visit
        self._empty.clear()
        try:
            yield
        except WorkerDied:
            self.died()
            raise
        except (asyncio.CancelledError, DeadlineExceeded):
            self._leave(visit)
            raise
        finally:
            del self._inside[number]
            if not self._inside:
                self._empty.set()

    def _leave(self, visit: _Visit) -> None:
        """Nobody waits for it any more, but it may still be at work."""
        now = time.monotonic()
        self._left.append((now, visit))
        while self._left and (now - self._left[0][0] > _LEFT_SECONDS or self._left_too_much()):
            self._left.popleft()

    def _left_too_much(self) -> bool:
        return len(self._left) > _LEFT_IMAGES or sum(len(visit.image) for _, visit in self._left) > _LEFT_BYTES

    def _on_readiness(self, ready: bool) -> None:
        if ready:
            self._same_death_until = float("-inf")
            self._left.clear()

    def died(self) -> None:
        """Triton, or one of its processes, is gone. Once for each death, and not where the server is stopping."""
        now = time.monotonic()
        if now < self._same_death_until or self._readiness.is_draining or self._others_ask:
            return
        self._same_death_until = now + _ONE_DEATH
        company = [*self._inside.values(), *(visit for when, visit in self._left if now - when < _LEFT_SECONDS)]
        if company:
            judging = self._started(self._judge(company))
            self._judging.add(judging)
            judging.add_done_callback(self._judging.discard)

    async def _judge(self, company: list[_Visit]) -> None:
        """Convict the one that was alone and has a strike from before; all others get one."""
        digests = [await asyncio.to_thread(digest_of, visit.image) for visit in company]
        visits = dict(zip(digests, company, strict=True))
        _log.warning("images were inside when triton died", images=len(visits), digests=digests[:_FEW])
        for digest, visit in visits.items():
            before = self._strikes.pop(digest, None)
            if before and len(visits) == 1:
                names = tuple(model.identity.name for model in visit.models)
                await asyncio.to_thread(self._quarantine.keep, visit.image, digest, names, visit.request_id)
            else:
                self._strikes[digest] = _Strikes(before.count + 1 if before else 1, len(visit.image))
        while len(self._strikes) > _MOST_STRIKES:
            self._strikes.popitem(last=False)
        self._strikes_changed()

    def _strikes_changed(self) -> None:
        self._sizes = frozenset(each.size for each in self._strikes.values())
        self._tell()

    def _started(self, run: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """A task that is kept until it is done, whether or not somebody still waits for it."""
        task = asyncio.create_task(run)
        self._work.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._work.discard(task)
        if not task.cancelled():
            task.exception()  # seen: whoever waits for the task is told


async def _event(event: asyncio.Event, deadline: Deadline, meanwhile: str) -> None:
    """Until it is set, also by the time that this task goes on."""
    while not event.is_set():
        try:
            await asyncio.wait_for(event.wait(), max(deadline.remaining(), 0))
        except asyncio.TimeoutError:
            raise DeadlineExceeded(f"the deadline passed while {meanwhile}") from None
