"""Scores become labels, and moments become milliseconds that add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea_server.domain import Span
from fovea_server.request.answers import best, timings

LABELS = tuple(f"class {index}" for index in range(50))


@given(st.lists(st.floats(0, 1, width=32), min_size=50, max_size=50), st.integers(1, 50))
def test_the_best_are_those_of_a_full_stable_sort(scores: list[float], top_k: int) -> None:
    array = np.array(scores, np.float32)
    expected = sorted(range(50), key=lambda index: (-array[index], index))[:top_k]
    found = best(array, LABELS, top_k)
    assert [array[each.index] for each in found] == [array[index] for index in expected]
    assert [each.label for each in found] == [LABELS[each.index] for each in found]
    if len(set(array.tolist())) == 50:
        assert [each.index for each in found] == expected


def test_the_stages_add_up_to_the_total() -> None:
    result = timings(10.0, 10.030, Span(10.002, 10.029), [Span(10.005, 10.010)], [Span(10.012, 10.022)])
    assert result.total == pytest.approx(30, abs=0.01)
    assert result.gateway == pytest.approx(3, abs=0.01)
    assert result.preprocess == pytest.approx(5, abs=0.01)
    assert result.model == pytest.approx(10, abs=0.01)
    assert result.queue == pytest.approx(12, abs=0.01)
    parts = result.gateway + result.queue + result.preprocess + result.model
    assert parts == pytest.approx(result.total, abs=0.01)


def test_a_backend_that_cannot_tell_its_time_leaves_all_of_it_to_the_queue() -> None:
    result = timings(10.0, 10.030, Span(10.0, 10.030), [], [])
    assert (result.preprocess, result.model) == (0, 0)
    assert result.queue == pytest.approx(30, abs=0.01)


def test_what_runs_side_by_side_is_counted_once() -> None:
    preprocess = [Span(10.000, 10.010), Span(10.004, 10.014)]
    models = [Span(10.012, 10.020), Span(10.015, 10.025)]
    result = timings(10.0, 10.030, Span(10.0, 10.030), preprocess, models)
    assert result.model == pytest.approx(13, abs=0.01)
    assert result.preprocess == pytest.approx(12, abs=0.01)
    assert result.queue == pytest.approx(5, abs=0.01)
