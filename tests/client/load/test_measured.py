"""The arithmetic of a load: percentiles, rates, and its way through JSON."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea_client.load.measured import Load, percentile, summary


def test_a_percentile_is_the_smallest_value_with_that_share_at_or_below_it() -> None:
    hundred = [float(value) for value in range(1, 101)]
    assert [percentile(hundred, percent) for percent in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0
    assert percentile([1.0, 2.0, 3.0], 99) == 3.0


def test_one_value_is_every_percentile() -> None:
    assert {percentile([7.0], percent) for percent in (0, 1, 50, 99, 100)} == {7.0}


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


@given(values=st.lists(st.floats(0, 1e6), min_size=1), percent=st.floats(0, 100))
def test_at_least_the_share_asked_for_lies_at_or_below_a_percentile(values: list[float], percent: float) -> None:
    found = percentile(sorted(values), percent)
    assert found in values
    assert sum(value <= found for value in values) >= percent / 100 * len(values)


def test_latencies_in_any_order_become_a_rate_and_milliseconds() -> None:
    load = summary("a generator", 2, 2.0, [0.003, 0.001, 0.002, 0.004], 5, {"HTTP 429": 1}, cpu_seconds=0.01)
    assert (load.images, load.images_per_second, load.p50_ms, load.p99_ms) == (4, 2.0, 2.0, 4.0)
    assert load.client_cpu_ms == 2.0  # over the five that were served
    assert load.errors == {"HTTP 429": 1}


def test_a_load_without_answers_has_no_percentiles() -> None:
    load = summary("a generator", 1, 1.0, [], 0, {"connection lost": 1}, cpu_seconds=0.0)
    assert (load.images_per_second, load.p50_ms) == (0.0, None)


def test_what_came_late_counts_for_the_percentiles_and_not_for_the_rate() -> None:
    load = summary("a generator", 16, 2.0, [0.1, 0.1, 4.0], 3, {}, 0.0, rate=1.5, in_time=2)
    assert (load.images, load.images_per_second, load.p99_ms) == (2, 1.0, 4000.0)
    assert (load.loop, load.rate) == ("1.5/s", 1.5)


def test_a_load_survives_json() -> None:
    load = summary("a generator", 1, 1.0, [0.5], 1, {}, cpu_seconds=0.1)
    assert Load.from_json(load.to_json()) == load
