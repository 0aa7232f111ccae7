"""A machine that seems to have a GPU, and whose tritonserver finds none: the CPU serves and says why, unless a GPU was
insisted on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from tests.ports import free_ports

from fovea_pipelines.gpu import found
from fovea_pipelines.package import ModelPackage

SEEMING = """
from fovea_pipelines.gpu import found
from fovea_server.triton import device
found.first = lambda: found.Gpu("NVIDIA Seeming", "580.1", 1)
device.find_spec = lambda name: object()
device._loads = lambda library: True
from fovea_server.cli.entry import main
main()
"""


@pytest.fixture(autouse=True)
def _without_a_gpu() -> None:
    try:
        found.first()
    except found.NoGpu:
        return
    pytest.skip("this machine has a GPU")


def _serve(wish: str, state: Path, rest: int, *more: str) -> subprocess.Popen[str]:
    grpc, triton, metrics = free_ports(3)
    ports = (f"--rest-port={rest}", f"--grpc-port={grpc}", f"--triton-grpc-port={triton}")
    options = (*ports, f"--triton-metrics-port={metrics}", f"--state={state}", "--drain-notice=0", f"--device={wish}")
    command = [sys.executable, "-c", SEEMING, "serve", *options, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_cpu_serves_and_says_why(package: ModelPackage, espresso: bytes, tmp_path: Path, workers: int) -> None:
    (rest,) = free_ports(1)
    server = _serve("auto", tmp_path, rest, f"--workers={workers}")
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and server.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{rest}/readyz").status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        answer = httpx.post(f"http://127.0.0.1:{rest}/v1/classify", content=espresso, timeout=30).json()
        (model,) = httpx.get(f"http://127.0.0.1:{rest}/v1/models").json()["models"]
        metrics = httpx.get(f"http://127.0.0.1:{rest}/metrics").text
    finally:
        server.send_signal(signal.SIGTERM)
        log, _ = server.communicate(timeout=30)
    assert answer["predictions"][0]["label"] == "espresso"
    assert model["engine"].startswith("openvino")
    assert "the gpu cannot serve, so the cpu does" in log
    assert "fovea_in_flight_limit 16.0" in metrics, "two batches of the CPU's; a GPU's hold 64 images"


def test_a_gpu_that_was_insisted_on_is_an_error(package: ModelPackage, tmp_path: Path) -> None:
    (rest,) = free_ports(1)
    server = _serve("cuda", tmp_path, rest)
    log, _ = server.communicate(timeout=60)
    assert server.returncode == 1
    assert "error: tritonserver" in log
