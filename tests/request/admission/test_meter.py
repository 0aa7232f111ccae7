"""A window says how fast work was done, and by Little's law how much of it was in flight."""

from __future__ import annotations

import pytest

from fovea_server.request.admission.forecast import Forecast
from fovea_server.request.admission.meter import Meter, Window


def test_a_window_is_full_after_a_tenth_of_a_second_of_work() -> None:
    meter = Meter()
    meter.busy(10.0)
    assert meter.done(1.0, 0.05, 10.05, in_time=True) is None
    window = meter.done(2.0, 0.04, 10.125, in_time=True)
    assert window is not None
    assert (window.pace, window.fastest) == (pytest.approx(24.0), pytest.approx(0.04))
    assert window.in_flight == pytest.approx((0.05 + 2 * 0.04) / 0.125)


def test_time_in_which_nothing_was_inside_does_not_count() -> None:
    meter = Meter()
    for hour in range(4):
        begin = 3600.0 * hour
        meter.busy(begin)
        window = meter.done(1.0, 0.03, begin + 0.03, in_time=True)
        meter.idle(begin + 0.03)
    assert window is not None
    assert window.seconds == pytest.approx(0.12)
    assert window.pace == pytest.approx(4 / 0.12)


def test_one_that_was_given_up_counts_as_work_but_never_as_the_fastest() -> None:
    meter = Meter()
    meter.busy(0.0)
    meter.done(1.0, 0.001, 0.06, in_time=False)
    window = meter.done(1.0, 0.12, 0.12, in_time=True)
    assert window is not None
    assert window.fastest == pytest.approx((0.001 + 0.12) / 2)


def test_the_forecast_takes_a_quiet_pace_for_the_least_and_a_crowded_one_for_all_there_is() -> None:
    forecast = Forecast()
    assert forecast.seconds(1000) == 0
    assert forecast.retry_after(1000) == 1.0
    forecast.observe(Window(0.1, work=20, load=1.0, fastest=0.01), contended=True)
    forecast.observe(Window(0.1, work=1, load=0.01, fastest=0.01), contended=False)
    assert forecast.seconds(100) == pytest.approx(0.5)
    for _ in range(50):
        forecast.observe(Window(0.1, work=10, load=1.0, fastest=0.01), contended=True)
    assert forecast.seconds(100) == pytest.approx(1.0, rel=0.01)
