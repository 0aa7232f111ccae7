"""Judge which image it is that ends Triton's processes, over all that a server's gateway processes have inside."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from fovea_server.logs import get_logger
from fovea_server.request.doorway import LEFT_SECONDS, ONE_DEATH
from fovea_server.request.quarantine import Kept
from fovea_server.request.readiness import Readiness

_log = get_logger("suspects")

FEW = 4  # images with at least as many strikes that are each run alone
_MOST_STRIKES = 1024  # images under suspicion; the oldest is forgotten
_PATIENCE = 10.0  # seconds for one gateway process to say who was inside: it may have hundreds of megabytes to hash
_TO_LEARN = 2.0  # seconds for one to take what it is told

_T = TypeVar("_T")


@dataclass(frozen=True)
class Strikes:
    """Of one image; `size` in bytes."""

    count: int
    size: int


@dataclass(frozen=True)
class Docket:
    """What every gateway process knows of what is being found out; strikes by SHA-256.

    held     nothing may go in: one image is run alone
    judging  who is to blame for the last death is not known yet
    """

    strikes: Mapping[str, Strikes] = field(default_factory=dict)
    held: bool = False
    judging: bool = False


@dataclass(frozen=True)
class Present:
    """Bytes by SHA-256 of what one gateway process had inside at a death; `complete` where it had nothing else."""

    sizes: Mapping[str, int]
    complete: bool


class Door(Protocol):
    """One gateway process. The methods raise whatever they do where it is gone, or does not answer."""

    async def learn(self, docket: Docket) -> None:
        """Do as it says from now on."""

    async def emptied(self, seconds: float) -> bool:
        """Whether nothing of it is inside any more, within so many seconds."""

    async def present(self) -> Present:
        """At the death that is being judged."""

    async def keep(self, digest: str) -> Kept:
        """Put the only image that was present in quarantine."""

    async def refuse(self, kept: Kept) -> None:
        """Another process put it in quarantine."""


class Bench(Protocol):
    """Where the gateway processes turn to; `door` says which of them it is. Raises NotReady where it is gone."""

    async def take_turn(self, door: Door) -> bool:
        """Keep everybody from going in, so that one image can be alone; False where it is another's turn."""

    async def emptied(self, door: Door, seconds: float) -> bool:
        """Whether nothing is inside any more, within so many seconds."""

    async def end_turn(self, door: Door, seconds: float) -> None:
        """Let everybody in again; the next turn is as many seconds away, in which others have the same chance."""

    def acquit(self, digest: str) -> None:
        """It was answered, which nothing is that ends processes."""

    def died(self, door: Door) -> None:
        """Triton, or one of its processes, is gone. `door` learns the outcome, also where it is known already."""


class Court:
    """The Bench, in the process that owns Triton.

    Whoever does not say in time what it had inside, or is gone and cannot, may have had the culprit there: then
    strikes are given and nobody is convicted.
    """

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._doors: list[Door] = []
        self._strikes: OrderedDict[str, Strikes] = OrderedDict()
        self._same_death_until = float("-inf")
        self._unsure_until = float("-inf")
        self._judging = False
        self._turn: Door | None = None  # whose image is run alone, or was until others had as much time
        self._held = False
        self._work: set[asyncio.Task[Any]] = set()
        readiness.on_change(self._on_readiness)

    def join(self, door: Door) -> None:
        """A gateway process is about to serve."""
        self._doors.append(door)
        self._soon(self._told(door))

    def leave(self, door: Door) -> None:
        """It is gone; what it had inside may still be there."""
        self._doors.remove(door)
        self._unsure_until = time.monotonic() + LEFT_SECONDS
        if self._turn is door:
            self._let_in(0)

    async def take_turn(self, door: Door) -> bool:
        if self._turn or self._judging or door not in self._doors:
            return False
        self._turn, self._held = door, True
        if not all(await asyncio.gather(*map(self._told, self._doors))):
            self._unsure_until = time.monotonic() + LEFT_SECONDS
        return True

    async def emptied(self, door: Door, seconds: float) -> bool:
        said = await asyncio.gather(*(_asked(each.emptied(seconds), seconds + _TO_LEARN) for each in self._doors))
        return all(said)

    async def end_turn(self, door: Door, seconds: float) -> None:
        if self._turn is door:
            self._let_in(seconds)

    def acquit(self, digest: str) -> None:
        if self._strikes.pop(digest, None):
            self._tell()

    def died(self, door: Door) -> None:
        now = time.monotonic()
        if now >= self._same_death_until and not self._readiness.is_draining:
            self._same_death_until = now + ONE_DEATH
            self._judging = True
            self._tell()
            self._soon(self._judge())
        elif not self._judging:
            self._soon(self._told(door))

    async def _judge(self) -> None:
        """Convict the one that was alone and has a strike from before; all others get one."""
        try:
            doors, began = list(self._doors), time.monotonic()
            said = await asyncio.gather(*(_asked(door.present(), _PATIENCE) for door in doors))
            sizes = {digest: size for one in said if one for digest, size in one.sizes.items()}
            sure = all(one and one.complete for one in said) and began >= self._unsure_until
            if sizes:
                _log.warning("images were inside when triton died", images=len(sizes), digests=list(sizes)[:FEW])
            alone = next(iter(sizes)) if len(sizes) == 1 and sure else None
            for digest, size in sizes.items():
                before = self._strikes.pop(digest, None)
                if not (before and digest == alone and await self._convicted(digest, doors, said)):
                    self._strikes[digest] = Strikes(before.count + 1 if before else 1, size)
            while len(self._strikes) > _MOST_STRIKES:
                self._strikes.popitem(last=False)
        finally:
            self._judging = False
            self._tell()

    async def _convicted(self, digest: str, doors: list[Door], said: list[Present | None]) -> bool:
        """Whether a process that still has the image put it in quarantine, and all others refuse it."""
        keeper = next(door for door, one in zip(doors, said, strict=True) if one and digest in one.sizes)
        kept = await _asked(keeper.keep(digest), _PATIENCE)
        if kept is None:
            return False
        await asyncio.gather(*(_asked(door.refuse(kept), _PATIENCE) for door in doors if door is not keeper))
        return True

    def _let_in(self, seconds: float) -> None:
        self._held = False
        self._tell()
        asyncio.get_running_loop().call_later(seconds, self._next_turn)

    def _next_turn(self) -> None:
        self._turn = None
        self._tell()

    def _on_readiness(self, ready: bool) -> None:
        if ready:
            self._same_death_until = float("-inf")

    def _tell(self) -> None:
        """Also whoever waits for a turn: it looks again whether it needs one, and whether it is its own."""
        for door in self._doors:
            self._soon(self._told(door))

    async def _told(self, door: Door) -> bool:
        """Whether it does as all must from now on."""
        docket = Docket(dict(self._strikes), self._held, self._judging)
        return await _asked(_done(door.learn(docket)), _TO_LEARN) or False

    def _soon(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)


async def _done(work: Awaitable[None]) -> bool:
    await work
    return True


async def _asked(answer: Awaitable[_T], seconds: float) -> _T | None:
    """What one gateway process says; None where it is gone, cannot, or does not answer in time."""
    try:
        return await asyncio.wait_for(answer, seconds)
    except Exception as error:  # whatever it is, the others go on
        _log.debug("a gateway process did not answer", reason=str(error) or type(error).__name__)
        return None
