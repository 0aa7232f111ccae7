"""Rounds as one line: medians, spread, and ratios within a round."""

from __future__ import annotations

import pytest
from benchmarks.lines import Line, lines
from benchmarks.rows import BARE, NETWORK, PREPROCESSING, REST, TRITON, Row
from tests.benchmarks.made_up import row, stage


def _of(rows: list[Row], path: str) -> Line:
    (line,) = (line for line in lines(rows) if line.path == path)
    return line


def test_a_ratio_is_taken_within_its_round() -> None:
    """The machine is half as fast in the second round: the ratio does not change."""
    rows = [row(BARE, 200), row(REST, 150), row(BARE, 100, number=2), row(REST, 75, number=2)]
    rest = _of(rows, REST)
    assert (rest.rounds, rest.images_per_second, rest.speed_to_bare) == (2, 112.5, 0.75)
    assert rest.spread == pytest.approx(75 / 112.5, abs=0.001)


def test_a_path_is_compared_with_the_bare_loops_before_and_after_it() -> None:
    """The machine becomes slower all the time."""
    rows = [row(BARE, 220), row(REST, 160), row(BARE, 180), row(TRITON, 150), row(BARE, 120)]
    assert _of(rows, REST).speed_to_bare == 0.8
    assert _of(rows, TRITON).speed_to_bare == 1.0
    assert _of(rows, TRITON).of_limit == 1.0


def test_each_path_is_a_fraction_of_what_lies_below_it() -> None:
    rows = [
        row(BARE, 90),
        row(PREPROCESSING, 200),
        row(NETWORK, 200),
        row(TRITON, 45, concurrency=1),
        row(TRITON, 81, concurrency=8),
        row(REST, 36, concurrency=1),
    ]
    assert _of(rows, BARE).of_limit == 0.9  # its stages in turn make 100 images/s
    assert [line.of_limit for line in lines(rows) if line.path == TRITON] == [0.5, 0.9]
    rest = _of(rows, REST)
    assert (rest.limit, rest.of_limit) == (TRITON, 0.8)  # under the same load


def test_cpu_time_too_is_a_fraction_of_what_lies_below() -> None:
    rows = [
        row(BARE, 100, 1.1),
        row(PREPROCESSING, 200, 0.8),
        row(NETWORK, 200, 1.2),
        row(TRITON, 100, 1.32),
        row(REST, 100, 1.65),
    ]
    assert _of(rows, BARE).cpu_of_limit == 1.1  # its stages in turn take 10 CPU-ms an image
    assert [_of(rows, path).cpu_of_limit for path in (TRITON, REST)] == [1.2, 1.25]


def test_cores_are_those_that_were_busy_on_average() -> None:
    rows = [row(BARE, 200, 1.6), row(BARE, 200, 1.5, number=2), row(BARE, 200, 1.8, number=3)]
    assert (_of(rows, BARE).cores, _of([row(BARE, 200, None)], BARE).cores) == (1.6, None)


def test_without_what_lies_below_a_fraction_is_left_open() -> None:
    rest = _of([row(REST, 50, None)], REST)
    assert (rest.limit, rest.of_limit, rest.speed_to_bare, rest.cpu_ms, rest.peak_memory_mb) == (None,) * 5


def test_open_loops_of_all_rounds_are_one_line_whatever_their_rates_and_connections() -> None:
    rows = [row(REST, 70, share=0.7, concurrency=16), row(REST, 90, share=0.7, concurrency=20, number=2)]
    (line,) = lines(rows)
    assert (line.rounds, line.rate, line.concurrency, line.load) == (2, 80.0, 20, "70%: 80/s")
    assert line.of_limit is None


def test_errors_of_all_rounds_add_up_by_their_reason() -> None:
    (line,) = lines([row(REST, 5, errors={"HTTP 429 BUSY": 2}), row(REST, 5, errors={"HTTP 429 BUSY": 1}, number=2)])
    assert line.errors == {"HTTP 429 BUSY": 3}


def test_stages_of_several_rounds_count_by_their_images() -> None:
    first, second = {"network": stage(300, 8, 1.0)}, {"network": stage(100, 2, 3.0)}
    (line,) = lines([row(TRITON, 5, stages=first), row(TRITON, 5, stages=second, number=2)])
    both = line.stages["network"]
    assert (both.images, both.infer_ms) == (400, 1.5)
    assert both.batch == pytest.approx(400 / (300 / 8 + 100 / 2), abs=0.01)
