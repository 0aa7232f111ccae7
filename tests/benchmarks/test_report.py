"""The result: ratios to the bare loop, what is unknown, and a file that is whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import report
from benchmarks.errors import BenchmarkError
from benchmarks.processes import Cost
from benchmarks.report import Result, Row

from fovea_client.load.measured import summary

_ABOUT = {"photographs": {"source": "here", "count": 1, "mean_kilobytes": 106}, "seconds": 1.0}


def _row(path: str, images: int, cpu_seconds: float | None) -> Row:
    """A second's work, 10 ms an answer."""
    cost = None if cpu_seconds is None else Cost(cpu_seconds, 300.0, 3, 0.0)
    return Row(path, summary("a generator", 8, 1.0, [0.01] * images, images, {}, 0.0), cost)


def test_every_row_has_its_ratio_to_the_bare_loop() -> None:
    result = Result(_ABOUT, [_row("bare loop", 200, 1.6), _row("gateway, REST", 150, 1.5)])
    bare, rest = result.document()["rows"]
    assert (bare["speed_to_bare"], bare["cpu_to_bare"]) == (1.0, 1.0)
    assert (rest["server_cpu_ms"], rest["speed_to_bare"], rest["cpu_to_bare"]) == (10.0, 0.75, 1.25)


def test_without_a_bare_loop_or_a_pid_what_is_unknown_is_left_open(capsys: pytest.CaptureFixture[str]) -> None:
    result = Result(_ABOUT, [_row("gateway, gRPC", 150, None)])
    (row,) = result.document()["rows"]
    assert (row["server_cpu_ms"], row["peak_memory_mb"], row["speed_to_bare"]) == (None, None, None)
    report.show(result)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("gateway, gRPC"))
    assert line.split()[-4:] == ["-", "-", "-", "-"]


def test_a_row_survives_json() -> None:
    row = _row("bare loop", 2, 0.1)
    assert Row.from_json(row.to_json()) == row


def test_a_result_is_written_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "results" / "serving.json"
    report.write(Result(_ABOUT, [_row("bare loop", 2, 0.1)]), path)
    assert [row["path"] for row in json.loads(path.read_text())["rows"]] == ["bare loop"]
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(BenchmarkError, match="cannot be written"):
        report.write(Result(_ABOUT, []), tmp_path / "results" / "serving.json")
