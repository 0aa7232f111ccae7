"""What is counted of numbers says how they vary, however large they are."""

from __future__ import annotations

import numpy as np
import pytest

from fovea_server.studies.counts import Counts, Moments


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (1e3, 10.0), (9.9e8, 1.0), (-1e9, 0.1)])
def test_mean_and_variance_are_those_of_the_numbers_alone_and_added_up_over_processes(
    mean: float, deviation: float
) -> None:
    numbers = np.random.default_rng(1).normal(mean, deviation, 20_000)
    whole, parts = Moments(), [Moments() for _ in range(4)]
    for place, number in enumerate(numbers.tolist()):
        whole.add(number)
        parts[place % 3].add(number)  # and one of them counts nothing
    together = Moments()
    for part in parts:
        together += part
    for moments in (whole, together):
        sample = moments.sample()
        assert sample.count == 20_000
        assert sample.mean == pytest.approx(numbers.mean(), rel=1e-12, abs=1e-12)
        assert sample.variance == pytest.approx(numbers.var(ddof=1), rel=1e-3)


def test_what_was_kept_as_a_sum_of_squares_is_read_and_added_to() -> None:
    numbers = [3.0, 4.0, 8.0]
    kept = {"count": 3, "total": sum(numbers), "squares": sum(number**2 for number in numbers)}
    counts = Counts.from_json({"answered": 3, "latency": kept, "events": {"bought": kept}})
    counts.answer(9.0, abstained=False)
    counts.event("bought", 9.0)
    for moments in (counts.latency, counts.events["bought"]):
        assert moments.sample().variance == pytest.approx(np.var([*numbers, 9.0], ddof=1))
    assert Counts.from_json(counts.to_json()) == counts
