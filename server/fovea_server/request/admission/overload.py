"""Tell a burst from an overload, and remember how much was turned away.

As in CoDel (RFC 8289) and in "Fail at Scale" (Maurer, ACM Queue 13:8, 2015): a queue that a burst leaves behind does no
harm and is worked off, one that stands only makes everybody late. A burst may fill the room to the full patience; once
it overflows there is an overload, and for as long as requests must be refused the short patience holds.
"""

from __future__ import annotations

import math

from fovea_server.logs import get_logger

_log = get_logger("admission")
_LASTS = 1.0  # seconds that an overload goes on after the last refusal
_RECENT = 1.0  # seconds in which what was turned away is forgotten, to 1/e


class Overload:
    """Every moment is given, in monotonic seconds."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._until = -math.inf
        self._turned_away = 0.0
        self._at = 0.0

    def is_on(self, now: float) -> bool:
        if now < self._until:
            return True
        if self._began is not None:
            _log.info("the overload is over", seconds=round(self._until - self._began, 1))
            self._began = None
        return False

    def begin(self, now: float) -> None:
        """The room is too full: an overload begins, or goes on."""
        if not self.is_on(now):
            self._began = now
            _log.warning("an overload begins: more comes than gets done, what is too much is turned away")
        self._until = now + _LASTS

    def turned_away(self, cost: float, now: float) -> float:
        """Note units that were refused. Returns how many were of late: they will be back before anything new."""
        self._turned_away = cost + self._turned_away * math.exp((self._at - now) / _RECENT)
        self._at = now
        return self._turned_away
