"""The one place that says whether this server is ready, not ready (and why), or draining."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fovea_server.domain import Deadline
from fovea_server.errors import CrashLoop, DeadlineExceeded, Draining, NotReady

Listener = Callable[[bool], None]


class Readiness:
    """Starts as not ready. Draining is for ever.

    Whoever comes while a model's process is revived, which takes less than a second, waits; balancers are told.
    """

    def __init__(self, restart_seconds: float = 2.0) -> None:
        self._problem: NotReady | None = NotReady("Triton is starting", retry_after=restart_seconds)
        self._reviving = False
        self._settled = asyncio.Event()
        self._settled.set()
        self._draining = False
        self._restart_seconds = restart_seconds
        self._listeners: list[Listener] = []

    @property
    def is_ready(self) -> bool:
        return self._problem is None and not self._draining

    def on_change(self, listener: Listener) -> None:
        """Call `listener` with the present state now, and with the new one at every change."""
        self._listeners.append(listener)
        listener(self.is_ready)

    def ready(self, start_seconds: float | None = None) -> None:
        """Triton answers rightly; it took `start_seconds` to get there, which is what a restart would take."""
        self._restart_seconds = start_seconds or self._restart_seconds
        self._set(None)

    def not_ready(self, reason: str) -> None:
        self._set(NotReady(reason, retry_after=self._restart_seconds))

    def reviving(self, reason: str) -> None:
        """Not ready for a moment: balancers send nothing more, and what is here waits (see `settled`)."""
        self._set(NotReady(reason, retry_after=self._restart_seconds), reviving=True)

    def crash_loop(self, reason: str, next_try: float) -> None:
        """Not ready, and `next_try` seconds away from being tried again."""
        self._set(CrashLoop(reason, retry_after=next_try))

    def drain(self) -> None:
        """Tell balancers to send nothing more; what comes all the same is still answered."""
        self._draining = True
        self._tell()

    def check(self) -> None:
        """Raise NotReady unless Triton can answer, or will in a moment."""
        if self._problem is not None and not self._reviving:
            raise self._said(self._problem)

    def check_announced(self) -> None:
        """Raise NotReady or Draining unless balancers should send requests here."""
        if self._draining:
            raise Draining("the server is stopping; send this to another one", retry_after=self._restart_seconds)
        if self._problem is not None:
            raise self._said(self._problem)

    async def settled(self, deadline: Deadline) -> None:
        """Wait while a model's process is being revived.

        Raises NotReady where that fails, and DeadlineExceeded where it takes too long for the caller.
        """
        if self._settled.is_set():
            return
        try:
            await asyncio.wait_for(self._settled.wait(), max(deadline.remaining(), 0))
        except asyncio.TimeoutError:
            raise DeadlineExceeded("the deadline passed while a model's process was being started again") from None
        self.check()

    def _set(self, problem: NotReady | None, *, reviving: bool = False) -> None:
        self._problem = problem
        self._reviving = reviving
        if reviving:
            self._settled.clear()
        else:
            self._settled.set()
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener(self.is_ready)

    @staticmethod
    def _said(problem: NotReady) -> NotReady:
        """A new one for each who is told: raised exceptions gather tracebacks."""
        return type(problem)(str(problem), retry_after=problem.retry_after)
