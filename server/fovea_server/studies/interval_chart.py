"""The interval over time, drawn as SVG by hand: no script, no font, nothing fetched."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import datetime, timezone

from fovea_server.studies.observations import Reading
from fovea_server.studies.verdict import amount

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 260, 90, 16, 14, 34
_LINE = 14  # of text, in height


def draw(readings: Sequence[Reading], metric: str, effect: float) -> str:
    """An <svg>: the estimate as a line in its interval, no difference and the smallest effect as levels."""
    if len(readings) < 2:
        return '<p class="quiet">Too few looks until now to draw the interval over time.</p>'
    span = max((abs(value) for each in readings[len(readings) // 4 :] for value in (each.lower, each.upper)), default=1)
    span = max(span, effect * 1.2)
    begin, end = readings[0].at, max(readings[-1].at, readings[0].at + 1)

    def x(at: float) -> float:
        return _LEFT + (at - begin) / (end - begin) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        middle = _TOP + (_HEIGHT - _TOP - _BOTTOM) / 2
        return middle - max(-1.0, min(1.0, value / span)) * (_HEIGHT - _TOP - _BOTTOM) / 2

    band = [(x(each.at), y(each.upper)) for each in readings]
    band += [(x(each.at), y(each.lower)) for each in reversed(readings)]
    estimate = [(x(each.at), y(each.estimate)) for each in readings]
    words = {value: amount(metric, value) for value in (span, 0.0, -span)}
    if min(y(0.0) - y(effect), y(effect) - y(span)) >= _LINE:  # else they would lie on top of each other
        words |= {value: amount(metric, value) for value in (effect, -effect)}
    levels = "".join(
        _level(y(value), words.get(value, ""), value == 0) for value in (span, effect, 0.0, -effect, -span)
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="the interval over time">{levels}'
        f'<polygon class="band" points="{_points(band)}"/><polyline class="estimate" points="{_points(estimate)}"/>'
        f"{_time(x(begin), begin, 'start')}{_time(x(end), end, 'end')}</svg>"
    )


def _level(y: float, text: str, is_zero: bool) -> str:
    kind = "zero" if is_zero else "level"
    return (
        f'<line class="{kind}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{html.escape(text)}</text>'
    )


def _time(x: float, at: float, anchor: str) -> str:
    text = datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    return f'<text x="{x:.1f}" y="{_HEIGHT - 10}" text-anchor="{anchor}">{text} UTC</text>'


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
