"""c: the goodput at which p99 still meets the bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.drills.harness import open_loop
from tests.drills.harness.drill import Scale
from tests.drills.harness.records import Records

_LOWEST, _HIGHEST = 0.3, 1.15  # where c is sought, in parts of what a closed loop reaches
_CALLERS = 8


@dataclass(frozen=True)
class Capacity:
    """`rate` in requests/s; `met` is False where even the lowest rate tried exceeded the bound, and is then that rate.

    `generator_percent` is what the generator took of one core at that rate.
    """

    rate: float
    p99_ms: float
    bound_ms: float
    met: bool
    closed_loop: float
    generator_percent: float


def measure(port: int, requests: Sequence[bytes], scale: Scale) -> Capacity:
    """Halve the interval between a rate that holds and one that does not, each tried by open loop."""
    closed = open_loop.saturated(port, requests, _CALLERS, scale.pick(full=5.0, short=2.0))  # warms the server up, too
    low, high = _LOWEST * closed, _HIGHEST * closed
    best = _try(port, requests, low, scale)
    if not best.met:
        return _with(best, closed)
    for _ in range(scale.probes - 1):
        middle = (low + high) / 2
        tried = _try(port, requests, middle, scale)
        if tried.met:
            low, best = middle, tried
        else:
            high = middle
    return _with(best, closed)


def _try(port: int, requests: Sequence[bytes], rate: float, scale: Scale) -> Capacity:
    """A rate that fails gets a second chance: a machine that others use too has bad moments."""
    tried = _judged(open_loop.run(port, requests, rate, scale.probe), rate, scale)
    return tried if tried.met else _judged(open_loop.run(port, requests, rate, scale.probe), rate, scale)


def _judged(records: Records, rate: float, scale: Scale) -> Capacity:
    p99, bound = records.percentile_ms(99), 1000 * scale.bound
    met = len(records.good) == len(records) and p99 <= bound
    return Capacity(rate, p99, bound, met, 0.0, 100 * records.cpu_seconds / scale.probe)


def _with(capacity: Capacity, closed: float) -> Capacity:
    return Capacity(**{**vars(capacity), "closed_loop": closed})
