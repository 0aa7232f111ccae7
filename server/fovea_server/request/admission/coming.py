"""Requests that were let past the door during an overload, and have not asked for a turn yet: their bodies are coming.

Without counting them, all whose headers arrive while there is one free place would be let past, and be refused later,
when that costs five times as much. They are counted by caller, as those who wait are: one that sends many shuts the
door for itself, not for the others.
"""

from __future__ import annotations

import math

_FORGOTTEN = 0.25  # seconds in which one that never asks, because its image is bad or its caller gone, fades to 1/e
_NEXT_TO_NOTHING = 0.01


class Coming:
    """Every moment is given, in monotonic seconds."""

    def __init__(self) -> None:
        self._counts: dict[str, float] = {}
        self._at = 0.0

    def ahead_of(self, caller: str, now: float) -> float:
        """How many are likely to go before one that this caller sends now, each caller having its turn."""
        faded = math.exp((self._at - now) / _FORGOTTEN)
        self._counts = {name: count * faded for name, count in self._counts.items() if count * faded > _NEXT_TO_NOTHING}
        self._at = now
        return min(sum(self._counts.values()), self._counts.get(caller, 0.0) * len(self._counts))

    def passed(self, caller: str) -> None:
        self._counts[caller] = self._counts.get(caller, 0.0) + 1

    def arrived(self, caller: str) -> None:
        """One asked for a turn."""
        if caller in self._counts:
            self._counts[caller] = max(self._counts[caller] - 1, 0.0)
