"""Try a call until it is answered, or until another try is not worth it: one budget of seconds over all tries."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fovea_client.errors import FoveaClientError
from fovea_client.retry import Retry

T = TypeVar("T")

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

    def spent(self) -> bool:
        return time.monotonic() >= self._end


def answered(once: Callable[[Budget], T], retry: Retry, timeout: float) -> T:
    """The answer of the first try that gets one; `once` is told what is left of the budget."""
    budget, failures = Budget(timeout), 0
    while True:
        try:
            return once(budget)
        except FoveaClientError as error:
            failures += 1
            wait = _wait(retry, error, failures, budget)
            if wait is None:
                raise
        time.sleep(wait)


async def answered_async(once: Callable[[Budget], Awaitable[T]], retry: Retry, timeout: float) -> T:
    budget, failures = Budget(timeout), 0
    while True:
        try:
            return await once(budget)
        except FoveaClientError as error:
            failures += 1
            wait = _wait(retry, error, failures, budget)
            if wait is None:
                raise
        await asyncio.sleep(wait)


def _wait(retry: Retry, error: FoveaClientError, failures: int, budget: Budget) -> float | None:
    draw = random.random()  # noqa: S311 - spreads the tries of many clients, guards no secret
    return retry.wait(error, failures, budget.remaining(), draw)
