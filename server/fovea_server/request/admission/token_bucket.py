"""A token bucket (as in RFC 2697, with one rate), kept as the moment at which it will be full again, as the generic
cell rate algorithm does (ITU-T I.371): one number, which processes can share, and which says nothing once it is past.
"""

from __future__ import annotations

import math

_TOLERANCE = 1e-9  # seconds: what adding them up may lose


class TokenBucket:
    """It fills at `rate` tokens a second up to `burst` seconds' worth. Moments are monotonic, given by the caller.

    Who takes more than the whole bucket holds needs a full one and leaves a debt.
    """

    def __init__(self, rate: float, burst: float, full_at: float = -math.inf) -> None:
        self._rate = rate
        self.full_at = full_at
        self._burst = burst

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be taken; 0 if it may be now."""
        wait = max(self.full_at - now, 0.0) + min(amount / self._rate, self._burst) - self._burst
        return wait if wait > _TOLERANCE else 0.0

    def take(self, amount: float, now: float) -> None:
        self.full_at = max(self.full_at, now) + amount / self._rate
