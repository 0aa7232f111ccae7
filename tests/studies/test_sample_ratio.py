"""An uneven split is noticed, an even one is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fovea_server.studies import sample_ratio


@pytest.mark.parametrize(("observed", "weights"), [((5100, 4900), (0.5, 0.5)), ((480, 330, 190), (0.5, 0.3, 0.2))])
def test_the_p_value_is_that_of_the_chi_square_test(observed: tuple[int, ...], weights: tuple[float, ...]) -> None:
    expected = np.array(weights) * sum(observed)
    assert sample_ratio.check([observed], weights).p_value == pytest.approx(stats.chisquare(observed, expected).pvalue)


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
