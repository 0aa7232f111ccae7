"""The models of the GPU, in a real tritonserver that runs them on the CPU: what they hand to Triton and to each other
needs no GPU to be right. Where ONNX Runtime is not installed the network is the CPU's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from tests.e2e.served import Served, served
from tests.ports import free_ports

from fovea_pipelines.package import ModelPackage


@pytest.fixture(scope="module", params=["device", "host"])
def gpu_models(
    request: pytest.FixtureRequest, package: ModelPackage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    repository = tmp_path_factory.mktemp("repository") / "models"
    shutil.copytree(package.folder.parent, repository)
    _run_on_cpu(repository / "preprocess_224", pixels=request.param)
    if find_spec("onnxruntime"):
        _run_on_cpu(repository / package.name)
    with served(free_ports(5), "--device=cpu", f"--repository={repository}") as server:
        yield server


def _run_on_cpu(model: Path, pixels: str = "device") -> None:
    text = (model / "configs/cuda.pbtxt").read_text()
    text = text.replace("KIND_GPU count: 1 gpus: [ 0 ]", "KIND_CPU count: 1").replace(
        'string_value: "device"', f'string_value: "{pixels}"'
    )
    (model / "configs/cpu.pbtxt").write_text(text.replace("max_batch_size: 64", "max_batch_size: 8"))
    (model / "1/model.py").unlink()


def test_good_pictures_are_recognised_and_bad_ones_fail_alone(gpu_models: Served, espresso: bytes) -> None:
    table = espresso.index(b"\xff\xc4") + 5
    damaged = espresso[:table] + b"\xff" + espresso[table + 1 :]

    def classify(image: bytes) -> httpx.Response:
        return httpx.post(f"{gpu_models.url}/v1/classify", content=image, timeout=30)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(classify, [espresso, damaged, espresso, espresso[:20_000]] * 6))
    assert [answer.status_code for answer in answers] == [200, 422, 200, 422] * 6
    for answer in answers[::2]:
        body = answer.json()
        assert body["predictions"][0]["label"] == "espresso"
        assert body["predictions"][0]["score"] == pytest.approx(0.94, abs=0.03)
        assert body["timings_ms"]["preprocess"] > 0
