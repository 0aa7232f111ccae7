"""The highest rate that a setting keeps, by open-loop load at increasing rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Protocol

from fovea_server.tuning.trial import Step

RATIO = 1.12  # between two rungs
_MOST = 8  # rates that are tried
_LOWEST = -24  # rung: 0.066 of the middle rate


class Measure(Protocol):
    def __call__(self, rate: float) -> Step: ...


def climb(measure: Measure, middle: float, begin: int, bound: float) -> list[Step]:
    """Ask at the rates `middle` x 1.12^n, from n = `begin` upwards until one is not kept; downwards if the first is
    not. A rate that is not kept is asked at once more, and the better of the two counts: one stall of a busy machine
    is not the setting's.

    `bound` is that of the 99th percentile, in milliseconds. The steps come in the order of their rates.
    """
    found: dict[int, Step] = {}

    def kept(rung: int) -> bool:
        rate = middle * RATIO**rung
        step = measure(rate)
        found[rung] = step if step.keeps(bound) else _better(step, measure(rate), bound)
        return found[rung].keeps(bound)

    rung = begin
    if kept(rung):
        while len(found) < _MOST and kept(rung + 1):
            rung += 1
    else:
        _descend(kept, begin, lambda: len(found) < _MOST)
    return [found[each] for each in sorted(found)]


def _descend(kept: Callable[[int], bool], begin: int, may: Callable[[], bool]) -> None:
    """Down in steps that double, until a rate is kept; then the rung above it, if that was skipped."""
    rung, stride = begin - 1, 1
    while rung >= _LOWEST and may():
        if kept(rung):
            if stride > 1 and may():
                kept(rung + stride // 2)
            return
        rung, stride = rung - 2 * stride, 2 * stride


def sustained(steps: Iterable[Step], bound: float) -> float:
    """Images/s under the bound: between the highest rate kept and the next one, linear in the logarithm of their 99th
    percentiles; 0 where none was kept."""
    ordered = sorted(steps, key=lambda step: step.rate)
    kept = [step for step in ordered if step.keeps(bound)]
    if not kept:
        return 0.0
    best = kept[-1]
    above = next((step for step in ordered if step.rate > best.rate), None)
    if above is None or best.p99_ms is None or above.p99_ms is None or above.p99_ms <= bound:
        return best.rate
    share = math.log(bound / best.p99_ms) / math.log(above.p99_ms / best.p99_ms)
    return best.rate + share * (above.rate - best.rate)


def rung_of(rate: float, middle: float) -> int:
    """The highest rung that is not above the rate."""
    return math.floor(math.log(rate / middle) / math.log(RATIO) + 1e-9)


def _better(one: Step, other: Step, bound: float) -> Step:
    return min(one, other, key=lambda step: (not step.keeps(bound), step.errors, step.p99_ms or math.inf))
