"""The goals: what reaches them, and which figure of a result is theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import goals, report
from benchmarks.goals import Goal
from benchmarks.lines import lines
from benchmarks.rows import BARE, GRPC, ONE_BY_ONE, REST, TRITON
from benchmarks.starts import Start
from tests.benchmarks.made_up import row


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (Goal("", 0.92, 0.92), "reached"),
        (Goal("", 0.91, 0.92), "not reached"),
        (Goal("", 4.0, 4.0, at_most=True), "reached"),
        (Goal("", 4.1, 4.0, at_most=True), "not reached"),
        (Goal("", None, 4.0), "not measured"),
    ],
)
def test_a_verdict_is_what_the_bound_says(goal: Goal, verdict: str) -> None:
    assert goal.verdict == verdict


def test_every_goal_of_serving_has_its_figure() -> None:
    rows = [
        row(BARE, 200, 1.0),
        row(ONE_BY_ONE, 100, latency=0.004),
        row(TRITON, 190, 0.99, concurrency=32),
        row(TRITON, 100, 0.9, concurrency=1),
        row(REST, 170, 0.9, concurrency=32),
        row(GRPC, 160, 0.9, concurrency=32),
        row(REST, 120, share=0.7, latency=0.012),
        row(REST, 150, share=0.9, latency=0.1),
    ]
    found = goals.of_serving(lines(rows), [Start(2.5, 350.0, 420.0), Start(3.0, 340.0, 400.0)])
    figures = [goal.figure for goal in found]
    assert figures[:3] == [0.95, 0.85, 0.8]
    assert figures[3] == pytest.approx((0.99 / 190) / (1.0 / 200), abs=0.001)
    assert figures[5:] == [3.0, 3.0, 420.0]
    assert [goal.reached for goal in found] == [True, False, False, True, True, True, True, True]


def test_what_was_not_measured_has_no_figure() -> None:
    found = [*goals.of_serving([], []), *goals.of_peers(None), *goals.of_large_photographs(None)]
    assert len(found) == 12
    assert {goal.verdict for goal in found} == {"not measured"}


def test_the_best_peer_is_the_one_with_the_most_images() -> None:
    def line(server: str, concurrency: int, speed: float, p99: float) -> dict[str, object]:
        return {"server": server, "concurrency": concurrency, "images_per_second": speed, "p99_ms": p99}

    comparison = {
        "precision": "bf16",
        "our_default_precision": "int8",
        "lines": [
            line("A", 8, 200, 50),
            line("A", 32, 190, 200),
            line("B", 32, 100, 20),
            line("Fovea, bf16", 32, 220, 100),
            line("Fovea, int8", 32, 330, 90),
        ],
    }
    assert [goal.figure for goal in goals.of_peers(comparison)] == [1.1, 1.65, 0.5]
    assert [goal.figure for goal in goals.of_large_photographs(comparison)] == [1.1]


def test_the_committed_comparison_can_be_read() -> None:
    path = max(report.RESULTS.glob("peers-2*.json"))
    assert all(goal.figure for goal in goals.of_peers(json.loads(path.read_text())))


def test_the_latest_result_of_a_kind_and_machine_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    for name in (
        "peers-2026-11-20-cpu2",
        "peers-2026-11-21-cpu2",
        "peers-2026-11-22-cpu8",
        "peers-12mp-2026-11-23-cpu2",
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps({"name": name}))
    assert report.newest("peers", "cpu2") == ("peers-2026-11-21-cpu2.json", {"name": "peers-2026-11-21-cpu2"})
    assert report.newest("peers", "cpu4") is None
