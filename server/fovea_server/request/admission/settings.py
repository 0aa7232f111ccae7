"""What an operator may set of admission; docs/overload.md says what each does to a request."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from fovea_server.request.gate import GateSettings

_BATCHES, _LEAST, _MOST = 8, 64, 512


@dataclass(frozen=True)
class AdmissionSettings:
    """The bounds of one process's admission. Work is counted in units: 1 is an image of the reference size (price.py).

    max_in_flight      units inside Triton at most, whatever the limit finds; None is eight batches, and never under 64:
                       Triton works on two at once and a few more wait there, so that the limit is what decides
    max_waiting        requests that may wait
    max_waiting_bytes  compressed bytes that may wait
    batch              images the model takes at once, Triton's `max_batch_size`; None is a limit that does not adapt
    patience           work of interactive requests that may wait, in multiples of the limit: so many times the time in
                       Triton is waited at most
    short_patience     the same while there is an overload
    quota_burst        seconds of a caller's quota that may be used at once
    quotas             the open file through which gateway processes count quotas together; None is one process
    """

    max_in_flight: int | None = None
    max_waiting: int = 1024
    max_waiting_bytes: int = 256_000_000
    batch: float | None = 8.0
    patience: float = 12.0
    short_patience: float = 0.5
    quota_burst: float = 5.0
    quotas: int | None = None

    @property
    def most_in_flight(self) -> int:
        """Units inside Triton at most."""
        if self.max_in_flight is not None:
            return self.max_in_flight
        return int(min(max(_LEAST, _BATCHES * (self.batch or 0)), _MOST))

    def of_one(self, processes: int) -> AdmissionSettings:
        """The share of each of several gateway processes in front of one Triton, so that all together keep the bounds.

        Two stay whole: quotas, which are counted together, and the bytes of the largest image that is let in, which
        must find room in each.
        """
        return dataclasses.replace(
            self,
            max_in_flight=max(1, self.most_in_flight // processes),
            max_waiting=self.max_waiting // processes,
            max_waiting_bytes=share_of_bytes(self.max_waiting_bytes, processes),
            batch=self.batch and self.batch / processes,
        )


def share_of_bytes(whole: int, processes: int) -> int:
    """Of the bytes that may wait, what each of several processes may hold: room for the largest image at least."""
    return max(whole // processes, min(whole, GateSettings.max_bytes))
