"""When the requests of an open loop are due."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea_client.load.schedule import arrivals


def test_requests_are_due_evenly_from_the_beginning_on() -> None:
    assert list(arrivals(10.0, 4.0, 1.0)) == [10.0, 10.25, 10.5, 10.75]


@given(rate=st.floats(0.5, 200), seconds=st.floats(0.1, 2))
def test_as_many_are_due_as_the_rate_says_and_none_after_the_time(rate: float, seconds: float) -> None:
    due = list(arrivals(0.0, rate, seconds))
    assert len(due) == round(rate * seconds)
    assert all(moment < seconds + 1 / rate for moment in due)
    assert all(later - earlier == pytest.approx(1 / rate, rel=1e-6) for earlier, later in pairwise(due))
