"""Count deaths, to tell an accident from a loop, and how long to wait before the next start."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class CrashLoopSettings:
    """`deaths` within `seconds` are a loop. It is over once all has run for `seconds`, and nothing died."""

    deaths: int = 10
    seconds: float = 60.0
    first_backoff: float = 0.25
    longest_backoff: float = 30.0


class CrashLoop:
    """Moments are monotonic seconds, and given by the caller."""

    def __init__(self, settings: CrashLoopSettings) -> None:
        self._settings = settings
        self._deaths: deque[float] = deque()
        self._backoff = settings.first_backoff
        self._looping = False
        self._running_since = math.inf

    def runs(self, now: float) -> None:
        """All is up, or up again; waiting for the next start is not running."""
        self._running_since = now

    def died(self, now: float) -> None:
        """A process has died, or did not come up."""
        if now - self._running_since > self._settings.seconds:
            self._deaths.clear()
            self._looping = False
            self._backoff = self._settings.first_backoff
        self._running_since = math.inf
        while self._deaths and now - self._deaths[0] > self._settings.seconds:
            self._deaths.popleft()
        self._deaths.append(now)
        self._looping = self._looping or len(self._deaths) >= self._settings.deaths

    @property
    def looping(self) -> bool:
        """As of the last death."""
        return self._looping

    def next_backoff(self) -> float:
        """Seconds to wait before the next start: twice as long each time, and the longest in a loop."""
        if self._looping:
            return self._settings.longest_backoff
        seconds = self._backoff
        self._backoff = min(seconds * 2, self._settings.longest_backoff)
        return seconds

    def in_words(self) -> str:
        """How it came to the loop."""
        return f"{self._settings.deaths} deaths within {self._settings.seconds:g} s"
