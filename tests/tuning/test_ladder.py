"""The highest rate that a setting keeps."""

from __future__ import annotations

import pytest

from fovea_server.tuning import ladder
from fovea_server.tuning.trial import Step


def _server(capacity: float, asked: list[float]) -> ladder.Measure:
    """One whose 99th percentile is 10 ms at rest and has no end at its capacity, as in an M/M/1 queue."""

    def measure(rate: float) -> Step:
        asked.append(rate)
        if rate >= capacity:
            return Step(rate, capacity * 0.9, 900.0, 2000.0, 5.0, 0)
        return Step(rate, rate, 5.0, 10 / (1 - rate / capacity), 5.0, 0)

    return measure


@pytest.mark.parametrize("capacity", [30.0, 80.0, 100.0, 130.0, 170.0])
def test_the_rate_under_the_bound_is_found_within_a_rung(capacity: float) -> None:
    steps = ladder.climb(_server(capacity, []), middle=100.0, begin=-2, bound=100.0)
    right = capacity * (1 - 10 / 100)
    assert ladder.sustained(steps, 100.0) == pytest.approx(right, rel=ladder.RATIO - 1)


def test_of_a_faster_server_more_is_found_than_of_a_slower_one_though_both_stop_at_one_rung() -> None:
    found = [
        ladder.sustained(ladder.climb(_server(capacity, []), 100.0, -1, 100.0), 100.0) for capacity in (112.0, 116.0)
    ]
    assert found[0] < found[1]


def test_a_single_stall_is_not_the_settings() -> None:
    steady, asked = _server(200.0, []), list[float]()

    def stalls_once(rate: float) -> Step:
        asked.append(rate)
        return Step(rate, rate, 5.0, 900.0, 5.0, 0) if len(asked) == 1 else steady(rate)

    steps = ladder.climb(stalls_once, 100.0, 0, 100.0)
    assert asked[:2] == [100.0, 100.0]
    assert steps[0].keeps(100.0)


def test_a_server_that_keeps_no_rate_scores_nothing_after_a_few_tries() -> None:
    asked: list[float] = []
    steps = ladder.climb(_server(0.5, asked), 100.0, -2, 100.0)
    assert ladder.sustained(steps, 100.0) == 0.0
    assert len(asked) <= 16


@pytest.mark.parametrize(
    ("step", "kept"),
    [
        (Step(100, 99, 5.0, 80.0, 5.0, 0), True),
        (Step(100, 99, 5.0, 120.0, 5.0, 0), False),
        (Step(100, 80, 5.0, 80.0, 5.0, 0), False),
        (Step(100, 99, 5.0, 80.0, 5.0, 1), False),
        (Step(100, 0, None, None, 0.0, 0), False),
    ],
)
def test_a_rate_is_kept_if_nothing_fails_piles_up_or_is_late(step: Step, kept: bool) -> None:
    assert step.keeps(100.0) is kept


def test_the_rung_of_a_rate_is_the_one_below_it() -> None:
    assert [ladder.rung_of(rate, 100.0) for rate in (80.0, 100.0, 111.9, 112.0, 130.0)] == [-2, 0, 0, 1, 2]
