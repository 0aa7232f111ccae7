"""Steps are put together so that the variance is the true one and no step spoils the others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from tests.studies.made_up import place

from fovea_server.studies import accuracy, power, strata
from fovea_server.studies.counts import Counts, Sample
from fovea_server.studies.strata import Apart
from fovea_server.studies.truth import Labelled

_ALPHA = 0.05
_INFORMATION = power.information(0.02, _ALPHA, 0.95)


def _labelled(arm: str, at: float, answers: int) -> list[Labelled]:
    return [Labelled(at, arm, f"{arm} {at} {number}", number % 5 > 0) for number in range(answers)]


def test_a_step_in_which_one_unit_alone_answered_twice_leaves_the_others_as_certain_as_they_are() -> None:
    whole = [*_labelled("control", 2.0, 2000), *_labelled("candidate", 2.0, 2000)]
    asked_twice = [Labelled(1.0, "candidate", "the first", True)] * 2
    early = [*_labelled("control", 1.0, 300), *asked_twice]
    without = strata.apart(accuracy.pairs(whole, [0.5, 1.5], "control", "candidate"), _INFORMATION, _ALPHA)
    found = strata.apart(accuracy.pairs(whole + early, [0.5, 1.5], "control", "candidate"), _INFORMATION, _ALPHA)
    assert math.isfinite(found.variance)
    assert (found.lower, found.upper) == (without.lower, without.upper)
    assert found.candidate == without.candidate + 2


def test_labelled_answers_of_a_step_without_the_control_go_with_the_step_before() -> None:
    both = [*_labelled("control", 1.0, 500), *_labelled("candidate", 1.0, 300)]
    alone = _labelled("candidate", 2.0, 400)
    ((control, candidate),) = accuracy.pairs(both + alone, [0.5, 1.5], "control", "candidate")
    assert (control.count, candidate.count) == (500, 700)


def test_where_no_step_can_be_used_nothing_is_claimed() -> None:
    unknown, known = Sample(2, 1.0, math.inf), Sample(100, 0.8, 0.16)
    found = strata.apart([(known, unknown)], _INFORMATION, _ALPHA)
    assert (found.lower, found.upper, found.control, found.candidate) == (-math.inf, math.inf, 100, 2)


class Rollout:
    """Two arms of one error rate; at the last step nobody meets the control."""

    def __init__(self, seed: int, error_rate: float, before: int) -> None:
        self._random = np.random.default_rng(seed)
        self._error_rate = error_rate
        self.counted = {place("control"): Counts(), place("candidate"): Counts(), place("candidate", 1): Counts()}
        self.serve("control", 0, before)
        self.serve("candidate", 0, before)

    def serve(self, arm: str, stage: int, requests: int) -> None:
        counts = self.counted[place(arm, stage)]
        failed = int(self._random.binomial(requests, self._error_rate))
        counts.failed += failed
        counts.answered += requests - failed

    def apart(self) -> Apart:
        return strata.errors_apart(self.counted, "control", "candidate", _ALPHA)


def test_the_control_that_two_steps_are_compared_with_counts_once_and_its_variance_whole() -> None:
    found = []
    for seed in range(1500):
        rollout = Rollout(seed, error_rate=0.05, before=2000)
        rollout.serve("candidate", 1, 20_000)
        found.append(rollout.apart())
    assert {(each.control, each.candidate) for each in found} == {(2000, 22_000)}
    claimed, true = np.mean([each.variance for each in found]), np.var([each.estimate for each in found])
    assert claimed == pytest.approx(true, rel=0.1)


@pytest.mark.parametrize(
    ("error_rate", "before", "looks"),
    [(0.05, 400, [400] * 10 + [3200] * 10), (0.2, 2000, [500] * 5 + [4000] * 15)],
)
def test_once_nobody_meets_the_control_the_interval_still_misses_in_at_most_5_percent_however_often_one_looks(
    error_rate: float, before: int, looks: Sequence[int]
) -> None:
    missed = 0
    for seed in range(300):
        rollout = Rollout(seed, error_rate, before)
        for requests in looks:
            rollout.serve("candidate", 1, requests)
            found = rollout.apart()
            if found.lower > 0 or found.upper < 0:
                missed += 1
                break
    assert missed / 300 <= _ALPHA
