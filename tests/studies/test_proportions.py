"""Shares and their differences agree with the published examples, and keep what their intervals promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fovea_server.studies import proportions
from fovea_server.studies.proportions import Share


@pytest.mark.parametrize(
    ("one", "other", "lower", "upper"),
    [  # Newcombe 1998, table II, method 10
        (Share(56, 70), Share(48, 80), 0.0524, 0.3339),
        (Share(9, 10), Share(3, 10), 0.1705, 0.8090),
        (Share(10, 10), Share(0, 20), 0.6791, 1.0),
        (Share(0, 10), Share(0, 10), -0.2775, 0.2775),
    ],
)
def test_the_interval_of_a_difference_is_that_of_the_paper(
    one: Share, other: Share, lower: float, upper: float
) -> None:
    found = proportions.difference(one, other)
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=1e-4)


def test_a_share_of_nothing_is_not_known() -> None:
    assert math.isnan(Share(0, 0).value)
    assert Share(0, 0).interval() == (0.0, 1.0)
    found = proportions.difference(Share(1, 2), Share(0, 0))
    assert math.isnan(found.estimate)
    assert (found.lower, found.upper, found.p_value) == (-1.0, 1.0, 1.0)


def test_all_right_against_all_right_is_no_difference() -> None:
    assert proportions.difference(Share(50, 50), Share(70, 70)).p_value == 1.0


def test_within_strata_a_slice_with_more_of_the_hard_labels_is_not_worse() -> None:
    """Simpson's paradox: worse on the whole, and as good with each label."""
    hard, easy = 0.5, 0.9
    slice_ = [Share(int(900 * hard), 900), Share(int(100 * easy), 100)]
    rest = [Share(int(100 * hard), 100), Share(int(900 * easy), 900)]
    whole = proportions.difference(Share(540, 1000), Share(860, 1000))
    assert whole.upper < -0.25
    assert proportions.within_strata(slice_, rest).estimate == pytest.approx(0.0, abs=1e-12)


def test_one_stratum_is_the_plain_difference() -> None:
    one, other = Share(700, 1000), Share(640, 1000)
    plain, within = proportions.difference(one, other), proportions.within_strata([one], [other])
    assert within.estimate == pytest.approx(plain.estimate)
    assert (within.lower, within.upper) == pytest.approx((plain.lower, plain.upper), abs=0.001)
    assert within.p_value == pytest.approx(plain.p_value, abs=0.002)


def test_strata_that_only_one_side_has_count_for_nothing() -> None:
    alone = proportions.within_strata([Share(3, 4), Share(9, 9)], [Share(2, 4), Share(0, 0)])
    assert alone == proportions.within_strata([Share(3, 4)], [Share(2, 4)])
    assert math.isnan(proportions.within_strata([Share(3, 4)], [Share(0, 0)]).estimate)


def test_of_many_small_strata_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    held, repetitions = 0, 600
    for _ in range(repetitions):
        right = random.uniform(0.3, 0.9, 60)
        one = [
            Share(int(random.binomial(n, p - 0.1)), int(n))
            for n, p in zip(random.integers(0, 4, 60), right, strict=True)
        ]
        other = [
            Share(int(random.binomial(n, p)), int(n)) for n, p in zip(random.integers(1, 8, 60), right, strict=True)
        ]
        found = proportions.within_strata(one, other)
        held += found.lower <= -0.1 <= found.upper
    assert stats.binomtest(held, repetitions, 0.95).pvalue > 0.001
