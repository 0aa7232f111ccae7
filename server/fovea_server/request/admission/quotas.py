"""Hold each caller to its quota: requests and megapixels a second, by a token bucket for each.

A token bucket (as in RFC 2697, with one rate): it fills at the quota's rate up to `burst` seconds' worth, and each
request takes from it. An image that is larger than the whole bucket needs a full one and leaves a debt.
"""

from __future__ import annotations

from fovea_server.domain import Caller
from fovea_server.errors import QuotaExceeded

_TOLERANCE = 1e-9  # of a token: what adding up seconds may lose


class TokenBucket:
    """Moments are monotonic seconds, given by the caller."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self._capacity = rate * burst
        self._level = self._capacity
        self._filled = now

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be taken; 0 if it may be now."""
        self._level = min(self._capacity, self._level + (now - self._filled) * self.rate)
        self._filled = now
        missing = min(amount, self._capacity) - self._level
        return missing / self.rate if missing > _TOLERANCE else 0.0

    def take(self, amount: float) -> None:
        self._level -= amount


class Quotas:
    """A bucket for each quota of each caller that has any, made when it is first needed."""

    def __init__(self, burst: float) -> None:
        self._burst = burst
        self._buckets: dict[tuple[str, str], TokenBucket] = {}

    def charge(self, caller: Caller, megapixels: float, now: float) -> None:
        """Take one request and its megapixels from the caller's quotas. Raises QuotaExceeded; then nothing is taken."""
        if caller.requests_per_second is None and caller.megapixels_per_second is None:
            return
        quotas = (
            ("requests", caller.requests_per_second, 1.0),
            ("megapixels", caller.megapixels_per_second, megapixels),
        )
        charges = [
            (self._bucket(caller.name, unit, rate, now), unit, amount)
            for unit, rate, amount in quotas
            if rate is not None
        ]
        for bucket, unit, amount in charges:
            if wait := bucket.wait(amount, now):
                raise QuotaExceeded(
                    f"the key {caller.name} may ask {bucket.rate:g} {unit} a second, "
                    f"{bucket.rate * self._burst:g} at once; this takes {amount:g} more, in {wait:.2f} s",
                    retry_after=wait,
                )
        for bucket, _, amount in charges:
            bucket.take(amount)

    def _bucket(self, name: str, unit: str, rate: float, now: float) -> TokenBucket:
        """A key whose quota was changed begins with a full bucket."""
        if rate <= 0:
            raise QuotaExceeded(f"the key {name} may ask for no {unit} at all")
        bucket = self._buckets.get((name, unit))
        if bucket is None or bucket.rate != rate:
            bucket = self._buckets[name, unit] = TokenBucket(rate, self._burst, now)
        return bucket
