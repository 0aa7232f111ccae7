"""How far samples lie apart: nothing for samples of one population, and what was planted otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from fovea_server.studies.drift import distances
from fovea_server.studies.drift.distances import Histograms


@pytest.mark.parametrize(("before", "now"), [(100, 100), (300, 2000), (20_000, 20_000)])
def test_samples_of_one_population_do_not_lie_apart(before: int, now: int) -> None:
    random = np.random.default_rng(1)
    found = [distances.of_numbers(random.normal(size=before), random.normal(size=now)).psi for _ in range(100)]
    assert np.mean(found) < 0.04
    labels = [
        distances.of_values(list(random.integers(0, 200, before)), list(random.integers(0, 200, now))).psi
        for _ in range(20)
    ]
    assert max(labels) < 0.1


def test_a_normal_that_moves_by_d_has_an_index_of_about_d_squared() -> None:
    random = np.random.default_rng(2)
    for shift in (0.32, 0.5):
        found = distances.of_numbers(random.normal(size=50_000), random.normal(shift, size=50_000))
        assert found.psi == pytest.approx(shift**2, rel=0.1)


def test_the_index_is_that_of_the_formula_for_large_samples() -> None:
    before, now = np.array([0.25, 0.25, 0.5]), np.array([0.1, 0.3, 0.6])
    histograms = Histograms(("a", "b", "c"), before * 1e7, now * 1e7)
    assert histograms.psi == pytest.approx(float(np.sum((now - before) * np.log(now / before))), abs=1e-5)


def test_p_values_are_uniform_where_nothing_moved() -> None:
    random = np.random.default_rng(3)
    pairs = [(random.normal(size=400), random.normal(size=300)) for _ in range(400)]
    small = np.mean([distances.ks_p_value(*pair) < 0.05 for pair in pairs])
    labels = np.mean(
        [
            distances.of_values(list(random.integers(0, 9, 400)), list(random.integers(0, 9, 300))).p_value < 0.05
            for _ in range(400)
        ]
    )
    assert 0.02 < small < 0.09
    assert 0.02 < labels < 0.09


def test_a_value_that_all_have_in_common_is_a_bin_and_leaving_it_is_far() -> None:
    same = distances.of_numbers(np.full(300, 0.1875), np.full(200, 0.1875))
    assert (same.names, same.psi, same.p_value) == (("all",), 0.0, 1.0)
    gone = distances.of_numbers(np.full(300, 0.1875), np.full(200, 0.3))
    assert gone.names == ("to 0.1875", "from 0.1875")
    assert gone.current.tolist() == [0, 200]
    assert gone.psi > 5


def test_every_number_is_counted_in_one_bin() -> None:
    random = np.random.default_rng(4)
    before, now = random.choice([1.0, 2.0, 2.5, 9.0], 500), random.exponential(3, 400)
    histograms = distances.of_numbers(before, now)
    assert (histograms.reference.sum(), histograms.current.sum()) == (500, 400)
    assert len(histograms.names) == len(histograms.reference) == len(histograms.current)


def test_values_too_rare_to_be_told_from_chance_are_one() -> None:
    histograms = distances.of_values(["cat"] * 200 + [f"rare {n}" for n in range(9)], ["cat"] * 100 + ["dog"] * 100)
    assert histograms.names == ("cat", "dog", distances.RARE)
    assert histograms.reference.tolist() == [200, 0, 9]
    assert histograms.current.tolist() == [100, 100, 0]


@pytest.mark.parametrize("before", [[], ["cat"] * 200])
def test_of_nothing_nothing_is_said(before: list[str]) -> None:
    assert distances.of_values(before, []).psi == 0.0
    assert distances.of_values(before, []).p_value == 1.0
    numbers = distances.of_numbers(np.arange(len(before), dtype=float), np.empty(0))
    assert (numbers.psi, numbers.p_value) == (0.0, 1.0)
    assert distances.ks_p_value(np.arange(len(before), dtype=float), np.empty(0)) == 1.0
