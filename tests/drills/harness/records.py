"""What became of each request of an open loop."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

# Seconds on CLOCK_MONOTONIC, which all processes of a machine share; `done` is nan where no answer came.
# `said` is an index into Records.words: of an answer the model's version, of a refusal its reason, else what happened.
# `ask` is which of the requests given was sent.
ROW = np.dtype([("due", "f8"), ("sent", "f8"), ("done", "f8"), ("status", "u2"), ("said", "u2"), ("ask", "u2")])


@dataclass(frozen=True)
class Records:
    """One row a request, by when it was due. `cpu_seconds` is what the generator took from the machine."""

    rows: NDArray[np.void]
    words: tuple[str, ...]
    cpu_seconds: float

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, mask: NDArray[np.bool_]) -> Records:
        return replace(self, rows=self.rows[mask])

    def due_between(self, begin: float, end: float) -> Records:
        return self.where((self.rows["due"] >= begin) & (self.rows["due"] < end))

    def done_between(self, begin: float, end: float) -> Records:
        return self.where((self.rows["done"] >= begin) & (self.rows["done"] < end))

    @property
    def good(self) -> Records:
        return self.where(self.rows["status"] == 200)

    @property
    def refused(self) -> Records:
        """Answered with an HTTP status that is not 200."""
        return self.where((self.rows["status"] != 200) & (self.rows["status"] != 0))

    @property
    def unanswered(self) -> Records:
        return self.where(self.rows["status"] == 0)

    def outcomes(self) -> dict[str, int]:
        """How many of each: "200 1", "429 BUSY", "connection lost"."""
        pairs = Counter(zip(self.rows["status"].tolist(), self.rows["said"].tolist(), strict=True))
        return {
            f"{status} {self.words[said]}" if status else self.words[said]: n for (status, said), n in pairs.items()
        }

    def untyped(self) -> dict[str, int]:
        """Everything that is neither an answer nor a refusal with a reason of ours."""
        words = np.array([bool(word) for word in self.words] or [False])
        typed = (self.rows["status"] != 0) & words[self.rows["said"]]
        return self.where(~typed).outcomes()

    def latencies_ms(self) -> NDArray[np.float64]:
        """From when each was due, so that a server that stalls cannot hide it by slowing the generator down; a timer
        may also have sent it up to a millisecond before."""
        return 1000 * (self.rows["done"] - np.fmin(self.rows["due"], self.rows["sent"]))

    def percentile_ms(self, percent: float) -> float:
        """Nearest rank from above; infinite where there was nothing or the answer never came."""
        if not len(self.rows):
            return float("inf")
        latencies = np.nan_to_num(self.latencies_ms(), nan=np.inf)
        return float(np.percentile(latencies, percent, method="inverted_cdf"))

    def lateness_ms(self, percent: float) -> float:
        """How much later than due the generator sent: its own share of the latencies."""
        return float(np.percentile(1000 * (self.rows["sent"] - self.rows["due"]), percent)) if len(self.rows) else 0.0
