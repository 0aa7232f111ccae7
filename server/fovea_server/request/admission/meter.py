"""Measure what Triton gets done: sums over stretches of time in which it had something to do."""

from __future__ import annotations

import math
from dataclasses import dataclass

_LENGTH = 0.1  # seconds of work that make a window


@dataclass(frozen=True)
class Window:
    """What was done in a stretch of time.

    seconds  that something was in Triton
    work     of the requests that were done, in units
    load     their units times the seconds each was in Triton; divided by `seconds`, the units in flight (Little's law)
    fastest  seconds in Triton of the quickest
    """

    seconds: float
    work: float
    load: float
    fastest: float

    @property
    def pace(self) -> float:
        """Units a second."""
        return self.work / self.seconds

    @property
    def in_flight(self) -> float:
        """Units in Triton, on average."""
        return self.load / self.seconds

    @property
    def mean(self) -> float:
        """Seconds in Triton of a unit of work."""
        return self.load / self.work


class Meter:
    """Adds up requests until a window is full. Every moment is given to it, in monotonic seconds."""

    _fastest: float

    def __init__(self) -> None:
        self._busy_since: float | None = None
        self._begin_anew()

    def busy(self, now: float) -> None:
        """Something is in Triton again."""
        self._busy_since = now

    def idle(self, now: float) -> None:
        if self._busy_since is not None:
            self._seconds += now - self._busy_since
        self._busy_since = None

    def done(self, cost: float, held: float, now: float, in_time: bool) -> Window | None:
        """A request of `cost` units was in Triton for `held` seconds, or at least so long where it was given up.

        Returns the window that it fills, if it does.
        """
        self._work += cost
        self._load += cost * held
        if in_time and held < self._fastest:
            self._fastest = held
        seconds = self._seconds + (now - self._busy_since if self._busy_since is not None else 0.0)
        if seconds < _LENGTH:
            return None
        window = Window(seconds, self._work, self._load, min(self._fastest, self._load / self._work))
        self._begin_anew()
        if self._busy_since is not None:
            self._busy_since = now
        return window

    def _begin_anew(self) -> None:
        self._seconds = self._work = self._load = 0.0
        self._fastest = math.inf
