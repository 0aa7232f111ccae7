"""The moments that callers name, and those that cannot be."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from fovea_server.feature_log import moments


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00",
        "2026-03-01 12:00:00",
        "2026-03-01T13:00:00+01:00",
        "2026-03-01T13:00:00 01:00",  # a + in a query string
        " 2026-03-01T11:30:00.000-00:30 ",
    ],
)
def test_one_moment_in_the_ways_it_is_written(text: str) -> None:
    assert moments.read(text) == datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def test_a_day_is_its_first_moment() -> None:
    assert moments.read("2026-03-01") == datetime(2026, 3, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize("text", ["", "now", "12:00", "2026-13-01", "2026-03-01T25:00", "0001-01-01T00:00:00+14:00"])
def test_what_is_no_moment_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is no moment; write 2026-11-21 or"):
        moments.read(text)


@pytest.mark.parametrize(
    ("ahead", "words"),
    [(timedelta(seconds=90), "seconds"), (timedelta(hours=3, seconds=5), "3 hours"), (timedelta(days=9), "9 days")],
)
def test_what_has_not_come_is_refused_with_how_far_off_it_is(ahead: timedelta, words: str) -> None:
    with pytest.raises(ValueError, match=f"{words} in the future; name a moment that has passed"):
        moments.read((datetime.now(timezone.utc) + ahead).isoformat())
