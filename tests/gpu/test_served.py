"""A picture goes through Triton's ensemble on the GPU and comes back as from the CPU."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from tests.e2e.served import Served
from tests.gpu.conftest import served_on_the_gpu

from fovea_pipelines.dali_executor import DaliExecutor
from fovea_pipelines.gpu import found
from fovea_pipelines.openvino_engine import OpenVinoEngine
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.preprocessed import Preprocessed


def _classify(server: Served, image: bytes) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/classify", content=image, timeout=60)


def test_the_golden_image_is_recognised_and_the_engine_is_named(server: Served, espresso: bytes) -> None:
    answer = _classify(server, espresso).json()
    assert answer["predictions"][0]["label"] == "espresso"
    assert all(answer["timings_ms"][stage] > 0 for stage in ("preprocess", "model"))
    (model,) = httpx.get(f"{server.url}/v1/models").json()["models"]
    assert model["engine"] in ("onnxruntime-cuda", "tensorrt")


def test_photographs_are_answered_as_on_the_cpu(server: Served, package: ModelPackage, images: list[bytes]) -> None:
    with ThreadPoolExecutor(32) as pool:
        answers = [response.json() for response in pool.map(lambda image: _classify(server, image), images)]
    executor, engine = DaliExecutor(package.contract, 1, 4), OpenVinoEngine(package.onnx.path, "f32", streams=4)
    same = []
    for image, answer in zip(images, answers, strict=True):
        (result,) = executor.run([np.frombuffer(image, np.uint8)])
        assert isinstance(result, Preprocessed)
        (outputs,) = engine.run([result.pixels])
        same.append(answer["predictions"][0]["index"] == int(np.argmax(outputs.scores)))  # type: ignore[arg-type]
    assert np.mean(same) >= 0.97


def test_bad_jpegs_among_good_ones_fail_alone(server: Served, espresso: bytes) -> None:
    table = espresso.index(b"\xff\xc4") + 5
    damaged = espresso[:table] + b"\xff" + espresso[table + 1 :]
    batch = [espresso, damaged, espresso, espresso[:20_000]] * 16
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda image: _classify(server, image).status_code, batch))
    assert all(code == 200 for code in answers[::2])
    assert all(400 <= code < 500 for code in answers[1::2])


def test_the_memory_of_the_gpu_is_free_again_once_the_server_has_stopped(package: ModelPackage) -> None:
    before = found.load().memory
    with served_on_the_gpu():
        assert found.load().memory > before
    deadline = time.monotonic() + 10
    while found.load().memory > before + (64 << 20) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert found.load().memory <= before + (64 << 20)


def test_pixels_may_go_over_the_host_too(package: ModelPackage, repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    shutil.copytree(repository, folder)
    config = folder / "preprocess_224/configs/cuda.pbtxt"
    text = config.read_text()
    assert 'string_value: "device"' in text
    config.write_text(text.replace('string_value: "device"', 'string_value: "host"'))
    with served_on_the_gpu("--repository", str(folder)) as server:
        answer = _classify(server, package.golden.image.read_bytes())
    assert answer.json()["predictions"][0]["label"] == "espresso"
