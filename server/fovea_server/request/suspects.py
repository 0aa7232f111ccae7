"""Find out which image it is that ends Triton's processes, and ask Triton about it no more.

At a death many images are inside, and one of them may be the cause. So each of them gets a strike. An answer takes an
image's strikes away again: what ends processes is not answered. While few images are under suspicion they are run
alone, and one that has a strike and is alone inside at the next death is quarantined. A bystander is never alone with
a death that another image caused, however often it is sent; an image that is the cause is quarantined at its second
death, or, where four others or more were inside at the first and were not sent again, at its third.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from fovea_server.domain import Deadline, Inference, Model
from fovea_server.errors import DeadlineExceeded, InferenceFailed, Undecodable
from fovea_server.request.court import FEW, Bench, Docket, Present, Strikes
from fovea_server.request.doorway import Doorway, Visit
from fovea_server.request.quarantine import Kept, Quarantine, digest_of
from fovea_server.request.readiness import Readiness
from fovea_server.request.service import InferenceEngine
from fovea_server.triton.client import WorkerDied

_LONGEST_ALONE = 5.0  # seconds that all others wait for one image
_LONGEST_JUDGING = 15.0  # seconds after which nobody waits for a verdict any more

_T = TypeVar("_T")


class Suspects:
    """An InferenceEngine around another that watches what is inside when Triton dies, and lets nothing in while what
    died is being revived.

    It is also one Door of the court that judges over all of a server's gateway processes.
    """

    def __init__(self, engine: InferenceEngine, quarantine: Quarantine, readiness: Readiness, court: Bench) -> None:
        self._engine = engine
        self._quarantine = quarantine
        self._readiness = readiness
        self._court = court
        self._doorway = Doorway(readiness)
        self._strikes: Mapping[str, Strikes] = {}
        self._sizes: frozenset[int] = frozenset()  # of the images that have strikes
        self._judged = asyncio.Event()
        self._judged.set()
        self._judging_since = -math.inf
        self._alone_at_death: dict[str, Visit] = {}  # the one image that was inside, or none
        self._work: set[asyncio.Task[Any]] = set()
        self._asks_for_turn = False  # or has it, for an image of this process
        self._news = asyncio.Event()  # for those who wait for it; a new one each time

    async def infer(
        self, models: Sequence[Model], image: bytes, request_id: str, deadline: Deadline
    ) -> list[Inference]:
        """As the engine within does; raises Quarantined for an image that ended a process twice."""
        visit = Visit(image, tuple(models), request_id)
        if not self._may_be_known(visit):
            return await self._beside_others(visit, deadline)
        return await self._known(visit, deadline)

    def _may_be_known(self, visit: Visit) -> bool:
        """Only then is it worth being hashed."""
        size = len(visit.image)
        return size in self._sizes or self._quarantine.might_hold(size)

    async def _known(self, visit: Visit, deadline: Deadline) -> list[Inference]:
        digest = await asyncio.to_thread(digest_of, visit.image)
        self._quarantine.check(digest)
        if self._is_suspect(digest):
            return await self._apart(visit, deadline, digest)
        return await self._beside_others(visit, deadline, digest)

    def _is_suspect(self, digest: str) -> bool:
        """Whether it has a strike, and only few images have as many."""
        mine = self._strikes.get(digest)
        return mine is not None and sum(each.count >= mine.count for each in self._strikes.values()) <= FEW

    async def _apart(self, visit: Visit, deadline: Deadline, digest: str) -> list[Inference]:
        """One suspect after the other, until it is none any more: convicted, or acquitted by the answer to a copy."""
        while self._is_suspect(digest):
            news = self._news  # what comes while the court is asked is news, too
            if not self._asks_for_turn:
                self._asks_for_turn = True
                answer = await self._in_time(self._started(self._in_turn(visit, deadline, digest)), deadline)
                if answer is not None:
                    return answer
            await _event(news, deadline, "another image was run alone")
        return await self._beside_others(visit, deadline, digest)

    async def _in_turn(self, visit: Visit, callers: Deadline, digest: str) -> list[Inference] | None:
        """None where another image has the turn. Its caller may go away meanwhile: the verdict is still wanted."""
        has_turn = False
        try:
            has_turn = await self._court.take_turn(self)
        finally:
            if not has_turn:
                self._asks_for_turn = False
        return await self._alone(visit, callers, digest) if has_turn else None

    async def _alone(self, visit: Visit, callers: Deadline, digest: str) -> list[Inference] | None:
        """Answered while nothing else is inside; None where it is no suspect any more.

        Then everybody else has as much time, from when they could have gone in, before the next suspect's turn.
        """
        began = math.inf
        try:
            if not self._is_suspect(digest):
                return None
            await self._readiness.settled(callers)
            began = time.monotonic()
            if not await self._court.emptied(self, _LONGEST_ALONE):
                raise DeadlineExceeded("the deadline passed while the images before it were being answered")
            emptied = time.monotonic()
            await self._readiness.settled(callers)  # what was inside may have ended a process
            began += time.monotonic() - emptied
            deadline = Deadline(began + _LONGEST_ALONE)
            await self._verdicts(deadline)
            self._quarantine.check(digest)
            return await self._visit(visit, deadline, digest)
        finally:
            self._asks_for_turn = False
            await self._court.end_turn(self, max(time.monotonic() - began, 0))

    async def _verdicts(self, deadline: Deadline) -> None:
        """Until it is known who is to blame for the last death."""
        while not self._judged.is_set():
            left = self._judging_since + _LONGEST_JUDGING - time.monotonic()
            try:
                await asyncio.wait_for(self._judged.wait(), max(min(left, deadline.remaining()), 0))
            except asyncio.TimeoutError:
                if deadline.remaining() <= 0:
                    why = "the deadline passed while it was found out what ended a process"
                    raise DeadlineExceeded(why) from None
                self._judged.set()

    async def _beside_others(self, visit: Visit, deadline: Deadline, digest: str | None = None) -> list[Inference]:
        """Once nothing is run alone, and what the last that was may have ended is revived."""
        await self._readiness.settled(deadline)
        while not (self._judged.is_set() and self._doorway.opened.is_set()):
            await self._verdicts(deadline)
            await _event(self._doorway.opened, deadline, "another image was run alone")
            await self._readiness.settled(deadline)
        if digest is not None:
            self._quarantine.check(digest)
            if self._is_suspect(digest):  # since it came here, others were acquitted
                return await self._apart(visit, deadline, digest)
        elif self._may_be_known(visit):  # since it came here, and waited
            return await self._known(visit, deadline)
        return await self._visit(visit, deadline, digest)

    async def _visit(self, visit: Visit, deadline: Deadline, digest: str | None) -> list[Inference]:
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
            self._follow_strikes({name: each for name, each in self._strikes.items() if name != digest})
            self._court.acquit(digest)

    async def _in_time(self, run: asyncio.Task[_T], deadline: Deadline) -> _T:
        await asyncio.wait({run}, timeout=max(deadline.remaining(), 0))
        if not run.done():
            raise DeadlineExceeded("the deadline passed while the image was to be run alone")
        return run.result()

    @contextmanager
    def _counted(self, visit: Visit) -> Iterator[None]:
        with self._doorway.inside(visit):
            try:
                yield
            except WorkerDied:
                self.died()
                raise
            except (asyncio.CancelledError, DeadlineExceeded):
                self._doorway.leave(visit)
                raise

    def died(self) -> None:
        """Triton, or one of its processes, is gone. Once for each death, and not where the server is stopping."""
        if not self._readiness.is_draining and self._doorway.note_death():
            self._judging_since = time.monotonic()
            self._judged.clear()
            self._court.died(self)

    async def learn(self, docket: Docket) -> None:
        self._follow_strikes(docket.strikes)
        if docket.judging:
            self._judging_since = time.monotonic()
            self._judged.clear()
        else:
            self._judged.set()
            self._alone_at_death = {}
        if docket.held:
            self._doorway.opened.clear()
        else:
            self._doorway.opened.set()

    def _follow_strikes(self, strikes: Mapping[str, Strikes]) -> None:
        """Those who wait for a turn look again whether they need one, and whether it is theirs."""
        self._strikes = strikes
        self._sizes = frozenset(each.size for each in strikes.values())
        self._news.set()
        self._news = asyncio.Event()

    async def emptied(self, seconds: float) -> bool:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._doorway.empty.wait(), seconds)
        return self._doorway.empty.is_set()

    async def present(self) -> Present:
        company = self._doorway.company()
        visits = {await asyncio.to_thread(digest_of, visit.image): visit for visit in company.visits}
        self._alone_at_death = visits if len(visits) == 1 else {}
        return Present({digest: len(visit.image) for digest, visit in visits.items()}, company.complete)

    async def keep(self, digest: str) -> Kept:
        visit = self._alone_at_death[digest]
        names = tuple(model.identity.name for model in visit.models)
        return await asyncio.to_thread(self._quarantine.keep, visit.image, digest, names, visit.request_id)

    async def refuse(self, kept: Kept) -> None:
        self._quarantine.refuse(kept)

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
