"""The windows that people name."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from fovea_server.studies.traffic import windows
from fovea_server.studies.traffic.windows import Window

NOW = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "long"), [("7d", timedelta(days=7)), ("24h", timedelta(days=1)), (" 90min ", timedelta(minutes=90))]
)
def test_a_length_ends_where_it_is_asked_to(text: str, long: timedelta) -> None:
    assert windows.read(text, NOW) == Window(NOW - long, NOW)


def test_two_moments_are_a_window_of_their_own() -> None:
    found = windows.read("2026-11-01..2026-11-02T06:30:00+02:00", NOW)
    assert str(found) == "2026-11-01 to 2026-11-02 04:30 UTC"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "no window"),
        ("7", "no window"),
        ("7 days", "no window"),
        ("0d", "is empty"),
        ("999999d", "before time was counted"),
        ("2026-11-02..2026-11-01", "is empty"),
        ("2026-11-01..2026-11-01", "is empty"),
        ("yesterday..2026-11-01", "no moment"),
        ("2026-11-01..2999-01-01", "in the future"),
    ],
)
def test_what_is_no_window_is_refused_with_what_to_write(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=rf"{wrong}.*; "):
        windows.read(text, NOW)


def test_what_two_windows_share_is_found() -> None:
    one, other = windows.read("2d", NOW), windows.read("1d", NOW)
    assert windows.overlap(one, other) == other
    assert windows.overlap(other, windows.read("1d", other.begin)) is None
