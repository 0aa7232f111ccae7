"""The chart: whole SVG, every line on it, and results of earlier forms."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from benchmarks import chart, report
from benchmarks.report import Serving
from benchmarks.rows import BARE, GRPC, ONE_BY_ONE, REST, TRITON
from tests.benchmarks.made_up import ABOUT, row

_SVG = "{http://www.w3.org/2000/svg}"
_ROWS = [
    row(BARE, 400),
    row(ONE_BY_ONE, 200),
    *(row(path, 100 * n, concurrency=n, latency=0.01 * n) for path in (TRITON, REST, GRPC) for n in (1, 2, 3)),
    row(REST, 150, share=0.5, latency=0.02),
]


def _drawn(document: dict[str, object]) -> ET.Element:
    return ET.fromstring(chart.draw(document))  # noqa: S314 - our own


def test_every_path_has_its_line_and_marks_in_both_panels() -> None:
    svg = _drawn(Serving(ABOUT, _ROWS).document())
    assert len(svg.findall(f"{_SVG}polyline")) == 2 * 3
    assert len(svg.findall(f"{_SVG}circle")) == 1 + 2 * 3  # Triton's, with the legend's
    hollow = [mark for mark in svg.findall(f"{_SVG}rect") if mark.get("fill") == "#ffffff" and mark.get("stroke")]
    assert len(hollow) == 2  # the open loop
    words = [text.text for text in svg.findall(f"{_SVG}text")]
    assert {"p50 latency, ms", "p99 latency, ms", "bare loop, 400/s", TRITON, REST, GRPC} <= set(words)


def test_every_mark_is_inside_the_picture() -> None:
    for mark in _drawn(Serving(ABOUT, _ROWS).document()).findall(f"{_SVG}circle"):
        assert 0 < float(mark.get("cx", "-1")) < 920
        assert 0 < float(mark.get("cy", "-1")) < 430


@pytest.mark.parametrize("path", sorted(report.RESULTS.glob("serving-*.json")), ids=lambda path: path.name)
def test_the_committed_results_can_be_drawn(path: object) -> None:
    document = json.loads(path.read_text())  # type: ignore[attr-defined]
    assert len(_drawn(document).findall(f"{_SVG}polyline")) == 6


def test_a_result_with_the_bare_loop_alone_is_still_a_picture() -> None:
    assert _drawn(Serving(ABOUT, [row(BARE, 400)]).document()).tag == f"{_SVG}svg"


def test_ticks_are_one_two_and_five_of_each_decade() -> None:
    assert chart.ticks(0.5, 2.1) == pytest.approx([5, 10, 20, 50, 100])
