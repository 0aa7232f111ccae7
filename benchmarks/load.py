"""What a load generator measured: the arithmetic and its result. Every generator answers with a `Load`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Load:
    """One closed loop of `concurrency` callers, each asking for the next image once it has its answer.

    images               answered well within `seconds`; None where the generator tells the rate alone
    served               answered well at all, with those still under way when the time was over
    p50_ms, p95_ms, p99_ms   of the answers that count, from the first byte sent to the last received
    errors               answers that were not a success, and requests that got none, by what they were
    client_cpu_ms        what the generator itself took from the machine, an image
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
) -> Load:
    """A `Load` from latencies in seconds, one for each image answered well within `seconds`."""
    ordered = sorted(latencies)
    return Load(
        generator=generator,
        concurrency=concurrency,
        seconds=round(seconds, 3),
        images=len(ordered),
        served=served,
        images_per_second=round(len(ordered) / seconds, 2),
        p50_ms=_milliseconds(ordered, 50),
        p95_ms=_milliseconds(ordered, 95),
        p99_ms=_milliseconds(ordered, 99),
        errors=dict(errors),
        client_cpu_ms=round(1000 * cpu_seconds / max(served, 1), 3),
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of ascending values: the smallest with at least `percent` % at or below it."""
    if not ordered:
        raise ValueError("no values, no percentile")
    return ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1]


def _milliseconds(ordered: Sequence[float], percent: float) -> float | None:
    return round(1000 * percentile(ordered, percent), 3) if ordered else None
