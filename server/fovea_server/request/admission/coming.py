"""Requests that were let past the door during an overload, and have not asked for a turn yet: their bodies are coming.

Without counting them, all whose headers arrive while there is one free place would be let past, and be refused later,
when that costs five times as much.
"""

from __future__ import annotations

import math

_FORGOTTEN = 0.25  # seconds in which one that never asks, because its image is bad or its caller gone, fades to 1/e


class Coming:
    """Every moment is given, in monotonic seconds."""

    def __init__(self) -> None:
        self._count = 0.0
        self._at = 0.0

    def count(self, now: float) -> float:
        self._count *= math.exp((self._at - now) / _FORGOTTEN)
        self._at = now
        return self._count

    def passed(self) -> None:
        self._count += 1

    def arrived(self) -> None:
        """One asked for a turn."""
        self._count = max(self._count - 1, 0.0)
