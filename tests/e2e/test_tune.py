"""Settings that were tuned are served; a short sweep measures, is cut off, goes on, and leaves its evidence."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
import tritonclient.grpc
from tests.conftest import ROOT
from tests.e2e.served import FOVEA, served
from tests.ports import free_ports

from fovea_pipelines.package import ModelPackage
from fovea_server.triton.tuned import Machine, Setting, Tuned
from fovea_server.tuning import evidence

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SETTING = Setting(3, 1, 16, 500, "f32")


def _tune(state: Path, *words: str) -> list[str]:
    return [str(FOVEA), "tune", "--state", str(state), "--seconds", "0.5", *words]


def test_triton_runs_the_models_as_the_file_says(tmp_path: Path, package: ModelPackage, espresso: bytes) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(evidence.settings_file(package, Machine.here(), "throughput", SETTING))
    with served(free_ports(5), "--device=cpu", f"--tuned={path}") as server:
        triton = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.triton_port}")
        config = triton.get_model_config(package.ensemble).config
        answer = httpx.post(f"{server.url}/v1/classify", content=espresso, timeout=30).json()
        (model,) = httpx.get(f"{server.url}/v1/models").json()["models"]
        assert "tuned settings" in server.log
        assert "fovea_in_flight_limit 32.0" in server.metrics()  # it begins with two batches
    assert answer["predictions"][0]["label"] == "espresso"
    assert model["engine"] == "openvino f32"
    assert config.max_batch_size == SETTING.batch
    assert config.instance_group[0].count == SETTING.instances
    assert config.dynamic_batching.max_queue_delay_microseconds == SETTING.delay
    assert config.parameters["threads"].string_value == str(SETTING.threads)
    assert (
        "instance_group [ { kind: KIND_CPU count: 2 } ]"
        in (ROOT / f"model_repository/{package.ensemble}/configs/cpu.pbtxt").read_text()
    )


@pytest.mark.timeout(170)
def test_a_sweep_that_is_interrupted_leaves_no_process_and_goes_on_to_its_file(
    tmp_path: Path, package: ModelPackage
) -> None:
    state = tmp_path / "state"
    sweep = subprocess.Popen(_tune(state, "--p99", "20000"), stderr=subprocess.PIPE, text=True)
    try:
        _until_measured(state, sweep, trials=1)
        below = psutil.Process(sweep.pid).children(recursive=True)
        sweep.send_signal(signal.SIGINT)
        _, said = sweep.communicate(timeout=60)
    finally:
        left = [*psutil.Process(sweep.pid).children(recursive=True), sweep] if sweep.poll() is None else []
        for process in left:
            process.kill()
    assert sweep.returncode == 130
    assert "fovea tune --resume" in said
    assert not [process for process in below if process.is_running()]

    words = _tune(state, "--p99", "20000", "--resume", "--budget", "0.1")
    resumed = subprocess.run(words, capture_output=True, text=True, timeout=150, check=False)
    assert resumed.returncode == 0, resumed.stderr
    (path,) = (state / "tuned").glob("*.toml")
    table = tomllib.loads(path.read_text())
    assert table["trials"][0]["role"] == "baseline"
    assert table["trials"][0]["steps"][0]["p99_ms"] > 0
    assert table["result"]["default"] > 0
    assert Tuned.read(path).why_not([package], Machine.here()) is None


@pytest.mark.timeout(170)
def test_where_no_setting_keeps_the_bound_it_says_the_best_it_saw_and_keeps_the_record(
    tmp_path: Path, package: ModelPackage
) -> None:
    words = _tune(tmp_path, "--p99", "1", "--goal", "cpu", "--budget", "0.1")
    result = subprocess.run(words, capture_output=True, text=True, timeout=150, check=False)
    assert result.returncode == 1
    assert "kept the 99th percentile within 1 ms: the best seen is " in result.stderr
    assert not list((tmp_path / "tuned").glob("*.toml"))
    assert '"role": "baseline"' in next((tmp_path / "tuned").glob("*.jsonl")).read_text()


def _until_measured(state: Path, sweep: subprocess.Popen[str], trials: int) -> None:
    """Until so many trials are on record and the next one's server is there."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and sweep.poll() is None:
        record = "".join(path.read_text() for path in (state / "tuned").glob("*.jsonl"))
        if record.count('"trial"') >= trials and psutil.Process(sweep.pid).children():
            return
        time.sleep(0.1)
    raise AssertionError(f"nothing was measured: {sweep.stderr.read() if sweep.stderr and sweep.poll() else ''}")
