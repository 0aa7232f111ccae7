"""Hold each caller to its quota: requests and megapixels a second, by a token bucket for each."""

from __future__ import annotations

from fovea_server.domain import Caller
from fovea_server.errors import QuotaExceeded
from fovea_server.request.admission.ledger import Ledger
from fovea_server.request.admission.token_bucket import TokenBucket


class Quotas:
    """A bucket for each quota of each caller that has any; processes that have the same `memory` share them."""

    def __init__(self, burst: float, memory: int | None = None) -> None:
        self._burst = burst
        self._ledger = Ledger(memory)

    def charge(self, caller: Caller, megapixels: float, now: float) -> None:
        """Take one request and its megapixels from the caller's quotas. Raises QuotaExceeded; then nothing is taken."""
        if caller.requests_per_second is None and caller.megapixels_per_second is None:
            return
        quotas = (
            ("requests", caller.requests_per_second, 1.0),
            ("megapixels", caller.megapixels_per_second, megapixels),
        )
        charges = [(unit, rate, amount) for unit, rate, amount in quotas if rate is not None]
        with self._ledger.held():
            taken = [self._taken(caller.name, unit, rate, amount, now) for unit, rate, amount in charges]
            for name, full_at in taken:
                self._ledger.note(name, full_at)

    def _taken(self, caller: str, unit: str, rate: float, amount: float, now: float) -> tuple[str, float]:
        """The bucket's name, and when it will be full again. A key whose quota was changed begins with a full one."""
        if rate <= 0:
            raise QuotaExceeded(f"the key {caller} may ask for no {unit} at all")
        name = f"{caller} {unit} {rate!r}"
        bucket = TokenBucket(rate, self._burst, self._ledger.full_at(name))
        if wait := bucket.wait(amount, now):
            raise QuotaExceeded(
                f"the key {caller} may ask {rate:g} {unit} a second, "
                f"{rate * self._burst:g} at once; this takes {amount:g} more, in {wait:.2f} s",
                retry_after=wait,
            )
        bucket.take(amount, now)
        return name, bucket.full_at
