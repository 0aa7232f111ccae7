"""A result as a chart: throughput against latency, one panel for p50 and one for p99, as SVG.

    python -m benchmarks.chart benchmarks/results/serving-2026-11-23-cpu2-amd-epyc.json    draws it again, beside it

Further right and lower is better. The colours are those of Okabe and Ito, "Color Universal Design" (2008), which stay
apart for colour-blind readers; each path has a mark of its own too.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.errors import BenchmarkError, exit_code
from benchmarks.rows import BARE, GRPC, REST, TRITON

_COLOURS = {TRITON: "#0072B2", REST: "#D55E00", GRPC: "#009E73"}
_MARKS = {TRITON: "circle", REST: "square", GRPC: "triangle"}
_INK, _FAINT, _GRID = "#222222", "#595959", "#dddddd"
_WIDTH, _HEIGHT = 920, 430
_TOP, _BOTTOM, _LEFT, _GAP, _RIGHT = 84, 52, 58, 62, 18


@dataclass(frozen=True)
class Point:
    """`at_once` is None for an open loop."""

    path: str
    at_once: int | None
    images_per_second: float
    latencies: Mapping[str, float | None]


@dataclass(frozen=True)
class Panel:
    """A plot: images/s from 0 to `most` along it, milliseconds from 10^`low` to 10^`high` up it."""

    name: str
    left: float
    width: float
    most: float
    low: float
    high: float

    def x(self, images_per_second: float) -> float:
        return self.left + self.width * images_per_second / self.most

    def y(self, milliseconds: float) -> float:
        height = _HEIGHT - _TOP - _BOTTOM
        return _TOP + height * (self.high - math.log10(milliseconds)) / (self.high - self.low)


def draw(document: Mapping[str, Any]) -> str:
    """The chart of a result of `make bench`, of this or an earlier form."""
    points, bare = list(points_of(document)), bare_of(document)
    parts = [_words(16, 24, title(document), size=15, weight="600"), *_legend(points, bare)]
    for panel in _panels(points, bare):
        parts += [*_axes(panel), *_bare(panel, bare), *_curves(panel, points)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
        ' font-family="sans-serif" role="img">'
        f"<title>{escape(title(document))}</title>"
    )
    return "\n".join([head, f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>', *parts, "</svg>"]) + "\n"


def title(document: Mapping[str, Any]) -> str:
    machine, sent = document.get("machine", {}), document.get("photographs", {})
    return (
        f"Images/s against latency: {machine.get('cpu', 'CPU')}, {machine.get('cores', '?')} cores, "
        f"{sent.get('count', '?')} photographs of {sent.get('mean_kilobytes', '?')} KB"
    )


def points_of(document: Mapping[str, Any]) -> Iterator[Point]:
    """Every line of a path through the server that has latencies."""
    for line in _lines(document):
        if line["path"] in _COLOURS and line["p50_ms"]:
            at_once = None if line.get("share") is not None else line["concurrency"]
            latencies = {"p50": line["p50_ms"], "p99": line["p99_ms"]}
            yield Point(line["path"], at_once, line["images_per_second"], latencies)


def bare_of(document: Mapping[str, Any]) -> float | None:
    """Images/s of the bare loop."""
    return next((line["images_per_second"] for line in _lines(document) if line["path"] == BARE), None)


def _lines(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    lines: Sequence[Mapping[str, Any]] = document.get("lines") or document["rows"]
    return lines


def _panels(points: Sequence[Point], bare: float | None) -> Iterator[Panel]:
    speeds = [point.images_per_second for point in points] + ([bare] if bare else [])
    known = [value for point in points for value in point.latencies.values() if value]
    low, high = (math.log10(known_edge) for known_edge in (min(known) / 1.3, max(known) * 1.3)) if known else (0, 3)
    width = (_WIDTH - _LEFT - _GAP - _RIGHT) / 2
    for number, name in enumerate(("p50", "p99")):
        yield Panel(name, _LEFT + number * (width + _GAP), width, 1.06 * max(speeds, default=1.0), low, high)


def _axes(panel: Panel) -> Iterator[str]:
    bottom, right = _HEIGHT - _BOTTOM, panel.left + panel.width
    for milliseconds in ticks(panel.low, panel.high):
        y = panel.y(milliseconds)
        yield _line(panel.left, y, right, y, _GRID)
        yield _words(panel.left - 6, y + 4, f"{milliseconds:g}", anchor="end")
    step = _step(panel.most)
    for number in range(int(panel.most / step) + 1):
        x = panel.x(number * step)
        yield _line(x, bottom, x, bottom + 4, _FAINT)
        yield _words(x, bottom + 18, f"{number * step:g}", anchor="middle")
    yield _line(panel.left, bottom, right, bottom, _FAINT)
    yield _words(panel.left + panel.width / 2, bottom + 38, "images/s", anchor="middle", size=13)
    yield _words(panel.left, _TOP - 10, f"{panel.name} latency, ms", size=13, weight="600")


def ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of every decade between 10^low and 10^high."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    return [step * 10.0**decade for decade in decades for step in (1, 2, 5) if low <= math.log10(step) + decade <= high]


def _step(most: float) -> float:
    """A round distance that makes three to seven steps."""
    rough = most / 5
    decade = 10 ** math.floor(math.log10(rough))
    return float(next(step * decade for step in (1, 2, 5, 10) if step * decade >= rough))


def _bare(panel: Panel, bare: float | None) -> Iterator[str]:
    if bare:
        x = panel.x(bare)
        yield _line(x, _TOP, x, _HEIGHT - _BOTTOM, _INK, dashes="2 4", width=1.8)


def _curves(panel: Panel, points: Sequence[Point]) -> Iterator[str]:
    for path in _COLOURS:
        places = [
            (panel.x(point.images_per_second), panel.y(value), point.at_once)
            for point in points
            if point.path == path and (value := point.latencies[panel.name])
        ]
        closed = [(x, y) for x, y, at_once in places if at_once is not None]
        if len(closed) > 1:
            corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in closed)
            yield f'<polyline points="{corners}" fill="none" stroke="{_COLOURS[path]}" stroke-width="2"/>'
        for x, y, at_once in places:
            yield _mark(path, x, y, filled=at_once is not None)
        if path == _labelled(points):
            for x, y, at_once in places:
                if at_once is not None:
                    yield _words(x + 9, y + 13, str(at_once), colour=_COLOURS[path])


def _labelled(points: Sequence[Point]) -> str | None:
    """The path whose callers are written at its points: one is enough, they are the same; the lowest has most room."""
    return next((path for path in _COLOURS if any(point.path == path for point in points)), None)


def _legend(points: Sequence[Point], bare: float | None) -> Iterator[str]:
    x, y = 22.0, 47.0
    for path in _COLOURS:
        if any(point.path == path for point in points):
            yield _mark(path, x, y - 4, filled=True)
            yield _words(x + 11, y, path)
            x += 34 + 6.6 * len(path)
    said = "filled: closed loop, with its callers"
    if any(point.at_once is None for point in points):
        said += "; hollow: open loop"
    if bare:
        yield _line(x - 6, y - 4, x + 14, y - 4, _INK, dashes="2 4", width=1.8)
        yield _words(x + 20, y, f"bare loop, {bare:.0f}/s")
        x += 150
    yield _words(x + 4, y, said, colour=_FAINT)


def _mark(path: str, x: float, y: float, *, filled: bool) -> str:
    colour = _COLOURS[path]
    style = f'fill="{colour if filled else "#ffffff"}" stroke="{colour}" stroke-width="2"'
    if _MARKS[path] == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" {style}/>'
    if _MARKS[path] == "square":
        return f'<rect x="{x - 4.2:.1f}" y="{y - 4.2:.1f}" width="8.4" height="8.4" {style}/>'
    return f'<polygon points="{x:.1f},{y - 5.6:.1f} {x + 5.2:.1f},{y + 4:.1f} {x - 5.2:.1f},{y + 4:.1f}" {style}/>'


def _line(x: float, y: float, to_x: float, to_y: float, colour: str, *, dashes: str = "", width: float = 1) -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{colour}" '
        f'stroke-width="{width:g}"{dashed}/>'
    )


def _words(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, weight: str = "400", colour: str = _INK
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
        f'fill="{colour}">{escape(text)}</text>'
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chart", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("result", type=Path, help="a JSON file of `make bench`")
    path: Path = parser.parse_args().result
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        drawn = draw(document)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{path} is no result of `make bench`: {error!r}", "name one of results/") from error
    report.write_text(drawn, path.with_suffix(".svg"))
    print(path.with_suffix(".svg"))


if __name__ == "__main__":
    sys.exit(exit_code(main))
