"""Decide whether a failed call is worth another try, and after how long. Arithmetic only: no clock, no dice."""

from __future__ import annotations

from dataclasses import dataclass

from fovea_client.errors import FoveaClientError, NotReady, ServerBusy, Unreachable

# Nothing was answered, and another try may be: to look at an image twice changes nothing. After a deadline nobody waits
# for the answer any more.
WORTH_A_RETRY = (Unreachable, ServerBusy, NotReady)


@dataclass(frozen=True)
class Retry:
    """At most `limit` more tries; the longest wait doubles from `first` up to `most` seconds."""

    limit: int = 3
    first: float = 0.1
    most: float = 2.0

    def wait(self, error: FoveaClientError, failures: int, remaining: float, draw: float) -> float | None:
        """Seconds to wait after the n-th failure, None to give up.

        The server's own Retry-After if it gave one, else exponential backoff with full jitter: `draw`, from [0, 1),
        times the longest wait. Never longer than the `remaining` seconds of the budget.
        """
        if failures > self.limit or not isinstance(error, WORTH_A_RETRY):
            return None
        wait = error.retry_after
        if wait is None:
            wait = draw * min(self.most, self.first * 2 ** (failures - 1))
        return wait if wait < remaining else None
