"""The result: what is in the file and on the terminal, and a file that is whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import report, table
from benchmarks.errors import BenchmarkError
from benchmarks.goals import Goal
from benchmarks.report import Result, Serving
from benchmarks.rows import BARE, GRPC, REST, TRITON, Row
from benchmarks.starts import Start
from tests.benchmarks.made_up import ABOUT, row, stage


def test_the_document_holds_lines_rows_goals_and_findings() -> None:
    rows = [row(BARE, 200, 1.6), row(REST, 150, 1.5, errors={"HTTP 429 BUSY": 1})]
    document = Serving(ABOUT, rows, [Start(2.0, 300.0, 310.0)], {"elsewhere": [Goal("more", None, 1.0)]}).document()
    bare, rest = document["lines"]
    assert (bare["speed_to_bare"], bare["cpu_to_bare"]) == (1.0, 1.0)
    assert (rest["cpu_ms"], rest["speed_to_bare"], rest["cpu_to_bare"]) == (10.0, 0.75, 1.25)
    assert document["goals"][-1] == {
        "what": "more",
        "figure": None,
        "goal": "at least 1",
        "verdict": "not measured",
        "source": "elsewhere",
    }
    assert len(document["rows"]) == 2
    assert document["starts"] == [{"seconds": 2.0, "memory_mb": 300.0, "afterwards_mb": 310.0}]
    assert document["findings"] == []


def test_the_table_has_each_line_its_errors_by_reason_and_each_goal(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(BARE, 200, 1.6), row(TRITON, 190, 1.5), row(REST, 150, 1.5, errors={"HTTP 429 BUSY": 7})]
    table.show(Serving(ABOUT, rows, [Start(9.5, 300.0, 310.0)]))
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert "errors of gateway, REST, 8 at once: 7 x HTTP 429 BUSY." in shown
    (start,) = (line for line in shown.splitlines() if "to ready" in line)
    assert start.split()[-6:] == ["9.5", "at", "most", "5", "not", "reached"]


def test_what_is_unknown_is_left_open_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table.show(Serving(ABOUT, [row(GRPC, 150, None)]))
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("gateway, gRPC"))
    assert line.split()[-7:] == ["-"] * 7


def test_a_row_survives_json() -> None:
    one = row(TRITON, 2, 0.1, share=0.5, number=2, stages={"network": stage()})
    assert Row.from_json(one.to_json()) == one


def test_a_result_is_written_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "results" / "serving.json"
    report.write(Serving(ABOUT, [row(BARE, 2, 0.1)]), path)
    assert [each["path"] for each in json.loads(path.read_text())["rows"]] == [BARE]
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(BenchmarkError, match="cannot be written"):
        report.write(Result(ABOUT, []), tmp_path / "results" / "serving.json")
