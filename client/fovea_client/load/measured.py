"""What a load generator measured: the arithmetic and its result. Every generator answers with a `Load`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Load:
    """What came back over `concurrency` connections.

    seconds              that were measured: of a closed loop, once it had its first answers (loops.py)
    images               answered well within them; None where the generator tells the rate alone
    served               answered well at all, with those still under way when the time was over
    p50_ms, p95_ms, p99_ms   closed loop: of `images`, from the first byte sent to the last received;
                         open loop: of `served`, from the moment a request was due to the last byte received
    errors               answers that were not a success, and requests that got none, by what they were
    client_cpu_ms        what the generator itself took from the machine, an image
    rate                 requests a second that were due, in an open loop; None in a closed one
    """

    generator: str
    concurrency: int
    seconds: float
    images: int | None
    served: int
    images_per_second: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    errors: Mapping[str, int]
    client_cpu_ms: float
    rate: float | None = None

    @property
    def loop(self) -> str:
        """The load in words."""
        return f"{self.concurrency} at once" if self.rate is None else f"{self.rate:.1f}/s"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Load:
        return cls(**json.loads(text))


def summary(
    generator: str,
    concurrency: int,
    seconds: float,
    latencies: Sequence[float],
    served: int,
    errors: Mapping[str, int],
    cpu_seconds: float,
    *,
    rate: float | None = None,
    in_time: int | None = None,
) -> Load:
    """A `Load` from latencies in seconds.

    There is one for each image answered well within `seconds`; where some came later, `in_time` is how many did not.
    """
    ordered = sorted(latencies)
    images = len(ordered) if in_time is None else in_time
    return Load(
        generator=generator,
        concurrency=concurrency,
        seconds=round(seconds, 3),
        images=images,
        served=served,
        images_per_second=round(images / seconds, 2),
        p50_ms=_milliseconds(ordered, 50),
        p95_ms=_milliseconds(ordered, 95),
        p99_ms=_milliseconds(ordered, 99),
        errors=dict(errors),
        client_cpu_ms=round(1000 * cpu_seconds / max(served, 1), 3),
        rate=rate,
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of ascending values: the smallest with at least `percent` % at or below it."""
    if not ordered:
        raise ValueError("no values, no percentile")
    return ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1]


def _milliseconds(ordered: Sequence[float], percent: float) -> float | None:
    return round(1000 * percentile(ordered, percent), 3) if ordered else None
