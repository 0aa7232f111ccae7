"""Two arms compared step by step: a canary meets more of the traffic in the evening than in the morning, and so the
sums over its steps compare the evening with the morning. Within a step both arms meet the same hours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from fovea_server.studies import counts, power, sequences
from fovea_server.studies.counts import Counted, Counts, Sample

_EFFECT = 0.05  # of the error rate, for which the interval is narrowest


@dataclass(frozen=True)
class Apart:
    """The candidate less the control, with its confidence sequence; how many observations of each."""

    estimate: float
    lower: float
    upper: float
    variance: float
    control: int
    candidate: int


class _Addable(Protocol):
    def __iadd__(self, other: Any, /) -> Any: ...


_Each = TypeVar("_Each", bound=_Addable)
Pair = tuple[Sample, Sample]  # of the control and of the candidate, in one step


def apart(pairs: Sequence[Pair], information: float, alpha: float) -> Apart:
    """Mantel and Haenszel's weights, n0 n1 / (n0 + n1) for each step, which no outcome can move (Greenland and Robins
    1985, Estimation of a common effect parameter from sparse follow-up data, Biometrics 41)."""
    usable = [(one, other) for one, other in pairs if _is_usable(one) and _is_usable(other)]
    sizes = sum(one.count for one, _ in pairs), sum(other.count for _, other in pairs)
    if not usable:
        return Apart(math.nan, -math.inf, math.inf, math.inf, *sizes)
    weights = np.array([one.count * other.count / (one.count + other.count) for one, other in usable])
    weights /= weights.sum()
    differences = np.array([other.mean - one.mean for one, other in usable])
    variances = np.array([one.variance / one.count + other.variance / other.count for one, other in usable])
    estimate, variance = float(weights @ differences), float(weights**2 @ variances)
    interval = sequences.difference(estimate, variance, information, alpha)
    return Apart(estimate, float(interval.lower), float(interval.upper), variance, *sizes)


def _is_usable(sample: Sample) -> bool:
    """A step of which nobody knows how the observations vary would make the sum of all steps as uncertain."""
    return sample.count > 1 and math.isfinite(sample.variance)


def errors_apart(counted: Counted, control: str, candidate: str, alpha: float, slice_: str = "") -> Apart:
    """Of the error rates."""
    pairs = [(one.errors(), other.errors()) for one, other in by_stage(counted, control, candidate, slice_)]
    return apart(pairs, power.information(_EFFECT, alpha, 0.95), alpha)


def by_stage(counted: Counted, control: str, candidate: str, slice_: str = "") -> list[tuple[Counts, Counts]]:
    """What was counted of the two in each step in which somebody met the control, `folded`."""
    stages = (counts.of_arms(counted, stage, slice_) for stage in counts.stages(counted))
    steps = ((arms.get(control, Counts()), arms.get(candidate, Counts())) for arms in stages)
    return folded(steps, lambda counted: counted.exposed)


def folded(steps: Iterable[tuple[_Each, _Each]], how_many: Callable[[_Each], int]) -> list[tuple[_Each, _Each]]:
    """Of control and candidate in each step. What the candidate did in a step without the control goes with the step
    before, by being added to it: compared with the same control by itself it would not be independent of that one, and
    the control would count twice."""
    found: list[tuple[_Each, _Each]] = []
    for control, candidate in steps:
        if found and not how_many(control):
            found[-1][1].__iadd__(candidate)
        else:
            found.append((control, candidate))
    return found


def each_stage(counted: Counted, control: str, candidate: str) -> list[tuple[Counts, Counts]]:
    """What was counted of the two in each step; where nobody met the control any more, its step before stands in, and
    so the steps are not independent of each other."""
    found: list[tuple[Counts, Counts]] = []
    before = Counts()
    for stage in counts.stages(counted):
        arms = counts.of_arms(counted, stage)
        one = arms.get(control, Counts())
        before = one if one.exposed else before
        found.append((before, arms.get(candidate, Counts())))
    return found
