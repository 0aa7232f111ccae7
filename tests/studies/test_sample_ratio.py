"""An uneven split is noticed, an even one is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fovea_server.studies import sample_ratio


@pytest.mark.parametrize(("observed", "weights"), [((5100, 4900), (0.5, 0.5)), ((480, 330, 190), (0.5, 0.3, 0.2))])
def test_one_over_the_p_value_is_the_bayes_factor_of_the_mixed_multinomial(
    observed: tuple[int, ...], weights: tuple[float, ...]
) -> None:
    prior = 100 * np.array(weights)
    mixed = stats.dirichlet_multinomial.logpmf(observed, prior, sum(observed))
    fixed = stats.multinomial.logpmf(observed, sum(observed), weights)
    assert sample_ratio.check([observed], weights).p_value == pytest.approx(min(np.exp(fixed - mixed), 1.0))


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.99, 0.01), (0.5, 0.3, 0.2)])
def test_of_4000_even_splits_hardly_one_in_a_thousand_ever_alarms_over_300_looks(weights: tuple[float, ...]) -> None:
    met = np.random.default_rng(0).multinomial(300, weights, size=(4000, 300)).cumsum(axis=1).astype(float)
    p_values = sample_ratio.p_values(met, np.array(weights))
    assert (p_values < sample_ratio.ALARM).any(axis=1).sum() <= 4
    expected = met.sum(axis=-1, keepdims=True) * np.array(weights)
    once = stats.chi2.sf(((met - expected) ** 2 / expected).sum(axis=-1), len(weights) - 1)
    assert (once < sample_ratio.ALARM).any(axis=1).mean() > 0.01  # what a test for a single look would have said


@pytest.mark.parametrize(("units", "lost"), [(1000, 0.29), (10_000, 0.10), (100_000, 0.035)])
def test_a_loss_is_noticed_from_as_many_units_as_are_met(units: int, lost: float) -> None:
    kept = units / 2 * (1 - lost)
    assert sample_ratio.check([(units // 2, round(kept))], (0.5, 0.5)).is_mismatch


def test_a_split_that_loses_one_unit_in_twenty_of_one_arm_raises_the_alarm() -> None:
    assert sample_ratio.check([(50_000, 47_500)], (0.5, 0.5)).is_mismatch
    assert not sample_ratio.check([(50_000, 49_800)], (0.5, 0.5)).is_mismatch


def test_units_that_several_processes_met_do_not_raise_it() -> None:
    one = (5_130, 4_870)  # p = 0.009: summed over ten processes that met the same units it would be an alarm
    assert not sample_ratio.check([one] * 10, (0.5, 0.5)).is_mismatch
    assert sample_ratio.check([(51_300, 48_700)], (0.5, 0.5)).is_mismatch
    assert sample_ratio.check([one] * 10, (0.5, 0.5)).observed == (51_300, 48_700)


def test_over_2000_even_splits_the_alarm_is_as_rare_as_it_says() -> None:
    met = np.random.default_rng(4).binomial(10_000, 0.9, size=2000)
    alarms = [sample_ratio.check([(each, 10_000 - each)], (0.9, 0.1)).is_mismatch for each in met]
    assert sum(alarms) <= 8


def test_where_nobody_was_met_yet_or_one_arm_has_no_weight_there_is_nothing_to_check() -> None:
    assert sample_ratio.check([], (0.5, 0.5)).p_value == 1.0
    assert sample_ratio.check([(0, 0)], (0.5, 0.5)).p_value == 1.0
    assert sample_ratio.check([(500, 0)], (1.0, 0.0)).p_value == 1.0
