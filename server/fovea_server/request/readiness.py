"""The one place that says whether this server is ready, not ready (and why), or draining."""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fovea_server.domain import Deadline
from fovea_server.errors import CrashLoop, DeadlineExceeded, Draining, NotReady

Listener = Callable[[bool], None]

_SOON = 0.5  # seconds, where it takes longer than was foretold


class Phase(str, enum.Enum):
    READY = "ready"
    NOT_READY = "not ready"
    REVIVING = "reviving"  # in a moment it is ready again, so whoever comes waits
    CRASH_LOOP = "crash loop"


@dataclass(frozen=True)
class Standing:
    """All there is to know; `reason` is why requests cannot be answered.

    again_at         when they may be again, in monotonic seconds, which all processes of a machine share
    restart_seconds  how long a start of Triton takes
    revival_seconds  how long it takes to give a model a new process
    """

    phase: Phase
    reason: str
    again_at: float
    restart_seconds: float
    revival_seconds: float = 1.0
    draining: bool = False


class Readiness:
    """Starts as not ready. Draining is for ever.

    Whoever comes while a model's process is revived, which takes a second or a few, waits; balancers are told.
    """

    def __init__(self, restart_seconds: float = 2.0) -> None:
        again_at = time.monotonic() + restart_seconds
        self.standing = Standing(Phase.NOT_READY, "Triton is starting", again_at, restart_seconds)
        self._settled = asyncio.Event()
        self._settled.set()
        self._listeners: list[Listener] = []

    @property
    def is_ready(self) -> bool:
        return self.standing.phase is Phase.READY and not self.standing.draining

    @property
    def is_draining(self) -> bool:
        return self.standing.draining

    def on_change(self, listener: Listener) -> None:
        """Call `listener` with the present state now, and with the new one at every change."""
        self._listeners.append(listener)
        listener(self.is_ready)

    def ready(self, start_seconds: float | None = None, revival_seconds: float | None = None) -> None:
        """Triton answers rightly; it took so long to get there by a start, or a revival, as the next would take."""
        self._change(
            phase=Phase.READY,
            reason="",
            restart_seconds=start_seconds or self.standing.restart_seconds,
            revival_seconds=revival_seconds or self.standing.revival_seconds,
        )

    def not_ready(self, reason: str, pause: float = 0.0) -> None:
        """Triton is started again, after a pause of so many seconds."""
        again_at = time.monotonic() + pause + self.standing.restart_seconds
        self._change(phase=Phase.NOT_READY, reason=reason, again_at=again_at)

    def reviving(self, reason: str) -> None:
        """Not ready for a moment: balancers send nothing more, and what is here waits (see `settled`)."""
        self._change(phase=Phase.REVIVING, reason=reason, again_at=time.monotonic() + self.standing.revival_seconds)

    def crash_loop(self, reason: str, next_try: float) -> None:
        """Not ready, and `next_try` seconds away from being tried again."""
        self._change(phase=Phase.CRASH_LOOP, reason=reason, again_at=time.monotonic() + next_try)

    def drain(self) -> None:
        """Tell balancers to send nothing more; what comes all the same is still answered."""
        self._change(draining=True)

    def follow(self, standing: Standing) -> None:
        """Be as another process of this server says it is."""
        self._change(**vars(replace(standing, draining=standing.draining or self.standing.draining)))

    def check(self) -> None:
        """Raise NotReady unless Triton can answer, or will in a moment."""
        if self.standing.phase not in (Phase.READY, Phase.REVIVING):
            raise self._problem()

    def check_announced(self) -> None:
        """Raise NotReady or Draining unless balancers should send requests here."""
        if self.standing.draining:
            seconds = self.standing.restart_seconds
            raise Draining("the server is stopping; send this to another one", retry_after=seconds)
        if self.standing.phase is not Phase.READY:
            raise self._problem()

    def again_in(self, *, all_gone: bool = False) -> float:
        """Seconds until who was just turned away by Triton may try again. What died, if nobody knows yet, is a model's
        process, or all of Triton."""
        if self.standing.phase is Phase.READY:
            return self.standing.restart_seconds if all_gone else self.standing.revival_seconds
        return max(self.standing.again_at - time.monotonic(), _SOON)

    async def settled(self, deadline: Deadline) -> None:
        """Wait while a model's process is being revived, also one that died again by the time that this task goes on.

        Raises NotReady where Triton cannot answer, and DeadlineExceeded where it takes too long for the caller.
        """
        while not self._settled.is_set():
            try:
                await asyncio.wait_for(self._settled.wait(), max(deadline.remaining(), 0))
            except asyncio.TimeoutError:
                raise DeadlineExceeded("the deadline passed while a model's process was being started again") from None
        self.check()

    def _change(self, **changes: Any) -> None:
        self.standing = replace(self.standing, **changes)
        if self.standing.phase is Phase.REVIVING:
            self._settled.clear()
        else:
            self._settled.set()
        for listener in self._listeners:
            listener(self.is_ready)

    def _problem(self) -> NotReady:
        """A new one for each who is told: raised exceptions gather tracebacks."""
        kind = CrashLoop if self.standing.phase is Phase.CRASH_LOOP else NotReady
        return kind(self.standing.reason, retry_after=self.again_in())
