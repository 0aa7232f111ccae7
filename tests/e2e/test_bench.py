"""The measurements, shortly, on a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.e2e.served import FOVEA, Served


def test_a_running_server_is_measured_over_rest_and_grpc(server: Served) -> None:
    done = subprocess.run(
        [FOVEA, "bench", "--url", server.url, "--grpc", server.grpc, "-c", "2", "-r", "10", "-s", "1", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = json.loads(done.stdout)["lines"]
    assert [(line["protocol"], line["rate"]) for line in lines] == [
        ("REST", None),
        ("REST", 10.0),
        ("gRPC", None),
        ("gRPC", 10.0),
    ]
    assert all(line["served"] and not line["errors"] for line in lines)


def test_the_benchmark_writes_lines_stages_goals_and_a_chart(server: Served, tmp_path: Path) -> None:
    out = tmp_path / "serving.json"
    found = ("--url", server.url, "--triton", f"127.0.0.1:{server.triton_port}", "--pid", str(server.process.pid))
    subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.serving", "--only", "bare,rest", "--concurrency", "8", "--open", "50"),
            *("--rounds", "1", "--seconds", "1", "--out", str(out), *found),
        ],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    document = json.loads(out.read_text())
    lines = {(line["path"], line["share"]): line for line in document["lines"]}
    assert len(lines) == 6
    closed = lines["gateway, REST", None]
    assert closed["speed_to_bare"] > 0
    assert closed["cpu_ms"] > 0
    (inside,) = closed["stages"].values()
    assert inside["infer_ms"] > 0
    assert inside["cpu_ms"] > 0
    assert 1 <= inside["batch"] <= 8
    assert inside["instances"] == 2
    verdicts = {goal["what"]: goal["verdict"] for goal in document["goals"]}
    assert verdicts["gateway over gRPC, images/s against the bare loop"] == "not measured"
    assert verdicts["gateway over REST, images/s against the bare loop"] in ("reached", "not reached")
    assert out.with_suffix(".svg").read_text().startswith("<svg")
    assert not out.with_suffix(".partial.json").exists()
