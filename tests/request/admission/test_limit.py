"""The limit settles where the model is kept busy and nobody waits inside for nothing."""

from __future__ import annotations

import pytest

from fovea_server.request.admission.limit import FixedLimit, VegasLimit
from fovea_server.request.admission.meter import Window

_ALONE = 0.01  # seconds that one image takes when it is alone


def _saturated(in_flight: float, pace: float) -> Window:
    """A tenth of a second of a server that does `pace` units a second, however many are in flight."""
    seconds = 0.1
    return Window(seconds, pace * seconds, in_flight * seconds, max(in_flight / pace, _ALONE))


def _settled(limit: VegasLimit, pace: float, *, overloaded: bool = False) -> float:
    """Where the limit is after a minute in which as much was in flight as it allowed."""
    limit.observe(_saturated(1, pace), contended=False, overloaded=False)
    for _ in range(600):
        limit.observe(_saturated(limit.units, pace), contended=True, overloaded=overloaded)
    return limit.units


def test_it_settles_between_two_batches_and_three_beyond_what_the_model_works_on() -> None:
    for pace in (100.0, 300.0):
        working_on = pace * _ALONE
        assert working_on + 16 - 1 <= _settled(VegasLimit(batch=8, most=64), pace) <= working_on + 24 + 1


def test_in_an_overload_it_is_a_batch_less_and_comes_back_afterwards() -> None:
    limit = VegasLimit(batch=8, most=64)
    before = _settled(limit, 300.0)
    working_on = 300.0 * _ALONE
    assert working_on + 8 - 1 <= _settled(limit, 300.0, overloaded=True) <= working_on + 16 + 1
    assert _settled(limit, 300.0) >= before - 8
    assert limit.units >= working_on + 16 - 1


def test_a_model_that_takes_larger_batches_gets_more() -> None:
    assert _settled(VegasLimit(batch=64, most=512), pace=2000.0) > 64


def test_a_limit_that_was_too_high_comes_down() -> None:
    limit = VegasLimit(batch=8, most=64)
    limit.units = 60
    assert _settled(limit, pace=300.0) < 33


def test_it_never_leaves_its_bounds() -> None:
    assert _settled(VegasLimit(batch=8, most=5), pace=300.0) == 5
    assert VegasLimit(batch=8, most=1).units == 1


def test_it_is_not_raised_while_nobody_needs_more() -> None:
    limit = VegasLimit(batch=8, most=64)
    before = limit.units
    for _ in range(100):
        limit.observe(_saturated(1, 50.0), contended=False, overloaded=False)
    assert limit.units == before


def test_a_fixed_limit_stays() -> None:
    limit = FixedLimit(3)
    limit.observe(_saturated(3, 10.0), contended=True, overloaded=False)
    assert limit.units == pytest.approx(3)
