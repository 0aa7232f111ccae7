"""The windows that are compared, as people name them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from fovea_server.feature_log import moments

_LONG = re.compile(r"(\d{1,6})(min|h|d)\Z")
_UNITS = {"min": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Window:
    """From `begin` until just before `end`, both in UTC."""

    begin: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{_said(self.begin)} to {_said(self.end)} UTC"


def read(text: str, until: datetime) -> Window:
    """`7d`, `24h` or `90min` before `until`, or `T1..T2`. Raises ValueError with what to write instead."""
    if long := _LONG.match(text.strip()):
        try:
            return _window(until - timedelta(**{_UNITS[long[2]]: int(long[1])}), until, text)
        except OverflowError:
            raise ValueError(f"{text!r} begins before time was counted; name fewer days") from None
    begin, dots, end = text.partition("..")
    if not dots:
        raise ValueError(f"{text[:40]!r} is no window; write 7d, 24h, 90min or 2026-11-01..2026-11-08")
    return _window(moments.read(begin), moments.read(end), text)


def _window(begin: datetime, end: datetime, text: str) -> Window:
    if begin >= end:
        raise ValueError(f"{text[:90]!r} is empty; name the earlier moment first")
    return Window(begin, end)


def overlap(one: Window, other: Window) -> Window | None:
    """What both of them are about."""
    begin, end = max(one.begin, other.begin), min(one.end, other.end)
    return Window(begin, end) if begin < end else None


def _said(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00").removesuffix(" 00:00")
