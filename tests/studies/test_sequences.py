"""Looking often costs nothing: the intervals hold at every look together, and still find what is there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from fovea_server.studies import power, sequences

_LOOKS = 60
_EXPERIMENTS = 2000
_ALPHA, _EFFECT = 0.05, 0.02


def _shares(per_look: int, share: float, seed: int) -> NDArray[np.float64]:
    """How many successes there were until each look, of each experiment: (experiments, looks)."""
    draws = np.random.default_rng(seed).binomial(per_look, share, size=(_EXPERIMENTS, _LOOKS))
    return draws.cumsum(axis=1).astype(float)


def _ever_rejected(control: float, candidate: float, per_look: int) -> float:
    """The share of the experiments whose interval excludes zero at any look."""
    count = per_look * np.arange(1, _LOOKS + 1)
    one, other = _shares(per_look, control, 1) / count, _shares(per_look, candidate, 2) / count
    variance = (one * (1 - one) + other * (1 - other)) / count
    found = sequences.difference(other - one, variance, power.information(_EFFECT, _ALPHA, 0.95), _ALPHA)
    return float(((found.lower > 0) | (found.upper < 0)).any(axis=1).mean())


def _planned(control: float) -> int:
    """Answers of one arm at one look."""
    variance = 2 * control * (1 - control)  # of the difference of one answer each
    return int(np.ceil(power.information(_EFFECT, _ALPHA, 0.95) * variance / _LOOKS))


@pytest.mark.parametrize("share", [0.80, 0.5, 0.99, 0.005])
@pytest.mark.parametrize("times", [1, 10])
def test_of_2000_experiments_without_a_difference_at_most_5_percent_ever_reject_over_60_looks(
    share: float, times: int
) -> None:
    assert _ever_rejected(share, share, times * _planned(0.80)) <= _ALPHA


@pytest.mark.parametrize("candidate", [0.82, 0.78])
def test_a_planted_difference_of_2_points_at_080_is_found_in_95_percent_with_the_planned_sample(
    candidate: float,
) -> None:
    assert _ever_rejected(0.80, candidate, _planned(0.80)) >= 0.95


def test_a_test_that_is_not_made_for_looking_often_would_reject_far_more() -> None:
    """What the confidence sequence is for: the same looks with a fixed-sample interval."""
    count = _planned(0.80) * np.arange(1, _LOOKS + 1)
    one, other = _shares(_planned(0.80), 0.8, 1) / count, _shares(_planned(0.80), 0.8, 2) / count
    z = (other - one) / np.sqrt((one * (1 - one) + other * (1 - other)) / count)
    assert float((np.abs(z) > 1.96).any(axis=1).mean()) > 0.2


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
def test_the_boundary_is_narrowest_where_it_is_said_to_be(alpha: float) -> None:
    least = optimize.minimize_scalar(lambda time: sequences.boundary(time, alpha), bounds=(0.1, 100), method="bounded")
    assert sequences.narrowest(alpha) == pytest.approx(least.x, rel=1e-3)


def test_nothing_is_claimed_where_nothing_varies_yet() -> None:
    found = sequences.difference(0.1, 0.0, 100.0, 0.05)
    assert (found.lower, found.upper) == (-np.inf, np.inf)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_the_interval_of_a_share_misses_it_at_any_of_60_looks_in_at_most_5_percent(share: float) -> None:
    found = sequences.share(_shares(25, share, 3), 25 * np.arange(1, _LOOKS + 1), _ALPHA)
    missed = (found.lower > share + 1e-9) | (found.upper < share - 1e-9)
    assert float(missed.any(axis=1).mean()) <= _ALPHA


def test_the_interval_of_a_share_is_wider_than_the_one_for_a_single_look_and_closes_on_the_share() -> None:
    for count in (10, 1000, 100_000):
        found = sequences.share(0.1 * count, count, _ALPHA)
        once = stats.binomtest(count // 10, count).proportion_ci(0.95, "exact")
        assert found.lower <= once.low < 0.1 < once.high <= found.upper
        assert float(found.upper - found.lower) < 12 / np.sqrt(count) / 3


def test_of_no_observation_the_share_may_be_anything() -> None:
    found = sequences.share(0, 0, _ALPHA)
    assert float(found.lower) < 1e-9
    assert float(found.upper) > 1 - 1e-9


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_evidence_against_what_is_true_ever_comes_to_20_in_at_most_5_percent(share: float) -> None:
    successes, count = _shares(25, share, 5), 25 * np.arange(1, _LOOKS + 1)
    for evidence in sequences.evidence(successes, count, share):
        assert float((evidence >= np.log(20)).any(axis=1).mean()) <= _ALPHA


def test_evidence_that_a_share_is_less_comes_sooner_than_an_interval_of_both_sides_leaves_it() -> None:
    count = np.arange(1, 1000)
    rarer, oftener = sequences.evidence(np.zeros(count.shape), count, 0.01)
    alone = count[rarer >= np.log(20)].min()
    both = count[sequences.share(np.zeros(count.shape), count, 0.05).upper < 0.01].min()
    assert alone < 400 < both
    assert (oftener <= 0).all()
    assert sequences.evidence(900, 1000, 0.01)[0] < -1000


def test_the_time_to_decision_shrinks_with_the_information() -> None:
    assert power.seconds_left(100.0, 25.0, 3600.0) == pytest.approx(3 * 3600)
    assert power.seconds_left(100.0, 200.0, 3600.0) == 0.0
    assert power.seconds_left(100.0, 0.0, 3600.0) is None
