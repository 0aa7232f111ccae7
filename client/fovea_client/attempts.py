"""Try a call until it is answered, or until another try is not worth it: one budget of seconds over all tries."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from fovea_client.errors import DeadlineExceeded, FoveaClientError
from fovea_client.retry import Retry

# In the same task. `wait_for` before Python 3.12 takes another, and may lose a cancellation that comes with the answer.
if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

T = TypeVar("T")

AT_ONCE = 64  # more than keep a server busy, and no more than it lets wait

# A timeout of zero would mean "do not block" to a socket, not "too late".
_LEAST = 0.001


class Budget:
    """The seconds a call may take, all its tries and waits included."""

    def __init__(self, seconds: float) -> None:
        """Raises ValueError for what is no time at all."""
        if not seconds > 0:
            raise ValueError(f"timeout is {seconds!r}; it must be more than 0 seconds")
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never quite zero."""
        return max(self._end - time.monotonic(), _LEAST)

    def limit(self) -> contextlib.AbstractAsyncContextManager[object]:
        """What is awaited in it ends in asyncio.TimeoutError once the budget is spent."""
        return timeout(self.remaining())

    def spent(self) -> bool:
        return time.monotonic() >= self._end


class Turns:
    """At most so many calls of one client are under way; the others wait here, where a server would refuse them."""

    def __init__(self, at_once: int) -> None:
        """Raises ValueError for none at all."""
        if at_once < 1:
            raise ValueError(f"at_once is {at_once!r}; it must be 1 or more")
        self._at_once = at_once
        self._free = asyncio.Semaphore(at_once)

    @contextlib.asynccontextmanager
    async def one(self, budget: Budget) -> AsyncIterator[None]:
        """Raises DeadlineExceeded where it does not come within the budget."""
        try:
            async with budget.limit():
                await self._free.acquire()
        except asyncio.TimeoutError:
            message = f"its turn did not come in time, behind other calls of this client; at_once is {self._at_once}"
            raise DeadlineExceeded(message) from None
        try:
            yield
        finally:
            self._free.release()


def answered(once: Callable[[Budget], T], retry: Retry, timeout: float) -> T:
    """The answer of the first try that gets one; `once` is told what is left of the budget."""
    budget, reasons = Budget(timeout), list[str]()
    while True:
        try:
            return once(budget)
        except FoveaClientError as error:
            reasons.append(error.reason)
            wait = _wait(retry, error, len(reasons), budget)
            if wait is None:
                error.was_tried(reasons)
                raise
        time.sleep(wait)


async def answered_async(once: Callable[[Budget], Awaitable[T]], retry: Retry, timeout: float, turns: Turns) -> T:
    budget, reasons = Budget(timeout), list[str]()
    while True:
        try:
            async with turns.one(budget):
                return await once(budget)
        except FoveaClientError as error:
            reasons.append(error.reason)
            wait = _wait(retry, error, len(reasons), budget)
            if wait is None:
                error.was_tried(reasons)
                raise
        await asyncio.sleep(wait)


def _wait(retry: Retry, error: FoveaClientError, failures: int, budget: Budget) -> float | None:
    draw = random.random()  # noqa: S311 - spreads the tries of many clients, guards no secret
    return retry.wait(error, failures, budget.remaining(), draw)
