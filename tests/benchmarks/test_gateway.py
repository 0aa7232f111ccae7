"""What the gateway alone carries: an echo that the server takes for its model, and the arithmetic of the table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import echo_repository, gateway_report
from benchmarks.gateway_report import Line
from benchmarks.processes import Cost, by_role

from fovea_client.load.measured import summary
from fovea_pipelines.package import ModelPackage
from fovea_server.triton.repository import Repositories


def _line(path: str, spent: dict[str, float], workers: int = 2, requests: int = 1000) -> Line:
    """Two seconds' work."""
    load = summary("a generator", 64, 2.0, [0.01] * requests, requests, {}, 0.1)
    return Line(path, workers, load, Cost(sum(spent.values()), 300.0, 4, 0.0), spent, load.seconds)


_REST = _line("REST", {"gateway 0": 0.4, "gateway 1": 0.2, "tritonserver": 0.3, "backend": 0.1})


def test_cpu_time_is_told_by_kind_of_process_and_what_a_core_carries_follows() -> None:
    document = _REST.document()
    assert document["gateway_cpu_ms"] == 0.6
    assert (document["tritonserver_cpu_ms"], document["backend_cpu_ms"]) == (0.3, 0.1)
    assert document["core_share_of_gateways"] == [0.2, 0.1]
    assert document["requests_per_core_second"] == 1667
    assert document["all_cpu_ms"] == 1.1


def test_scaling_is_told_by_speed_and_by_cost() -> None:
    lines = [_line("REST", {"gateway 0": 0.3}, workers=1, requests=500), _REST]
    assert list(gateway_report.scaling(lines)) == [("REST", 2, 2.0, pytest.approx(1.0))]
    assert list(gateway_report.scaling([_REST])) == []


def test_cores_for_a_rate_are_by_the_least_cost_of_a_path() -> None:
    lines = [_REST, _line("REST", {"gateway 0": 0.4}), _line("gRPC", {"gateway 0": 1.0})]
    found = {(path, rate): cores for path, rate, cores in gateway_report.cores(lines)}
    assert found[("REST", 12_000)] == pytest.approx(4.8)
    assert found[("gRPC", 36_000)] == pytest.approx(36.0)


def test_the_result_has_every_line_and_the_table_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = _line("REST", {"gateway 0": 0.3}, workers=1, requests=500)
    gateway_report.write({"seconds": 2.0}, [half, _REST], tmp_path / "gateway.json")
    written = json.loads((tmp_path / "gateway.json").read_text())
    assert [line["workers"] for line in written["lines"]] == [1, 2]
    assert written["scaling"] == [{"path": "REST", "workers": 2, "speed": 2.0, "gateway_cost": 1.0}]
    assert written["cores_of_gateway"][0] == {"path": "REST", "requests_per_second": 12_000, "cores": 7.2}
    gateway_report.show([_REST])
    assert "REST: 12,000 requests/s take 7.2 cores of gateway" in capsys.readouterr().out


def test_a_server_takes_the_echo_for_its_model(package: ModelPackage, tmp_path: Path) -> None:
    echo_repository.write(package.folder.parent, tmp_path / "echo")
    (found,) = Repositories(tmp_path / "echo", tmp_path / "state", tmp_path / "moment").packages()
    assert (found.name, found.ensemble) == (package.name, package.ensemble)
    model = (tmp_path / "echo" / package.ensemble / "1/model.py").read_text()
    compile(model, "model.py", "exec")
    assert "scores[0, 967] = 0.949" in model
    config = (tmp_path / "echo" / package.ensemble / "config.pbtxt").read_text()
    assert config.count("{") == config.count("}") > 7
    assert '{ name: "SCORES" data_type: TYPE_FP32 dims: [ 1000 ] }' in config


def test_gateway_processes_are_told_apart_by_their_number() -> None:
    waits = "import sys; sys.stdin.read()"
    family = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', '{waits}', *sys.argv[1:]]); {waits}"
    words = ["fovea_server.workers.follower", "9", "3", "1"]
    with subprocess.Popen([sys.executable, "-c", family, *words], stdin=subprocess.PIPE) as first:
        try:
            for _ in range(100):
                roles = by_role(first.pid)
                if len(roles) == 2:
                    break
            assert set(roles) == {"gateway 0", "gateway 3"}
        finally:
            first.kill()
