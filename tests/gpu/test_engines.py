"""The engines of the GPU answer as OpenVINO does in f32, read images where they lie, and give their memory back."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from numpy.typing import NDArray

from fovea_pipelines.dali_executor import DaliExecutor, DaliGpuExecutor, OnDevice, Preprocessed
from fovea_pipelines.engines.onnxruntime_engine import OnnxRuntimeEngine
from fovea_pipelines.gpu import driver
from fovea_pipelines.openvino_engine import OpenVinoEngine, Outputs
from fovea_pipelines.package import ModelPackage


@pytest.fixture(scope="module")
def pixels(package: ModelPackage, images: list[bytes]) -> list[NDArray[np.uint8]]:
    results = DaliExecutor(package.contract, 64, 8).run([np.frombuffer(image, np.uint8) for image in images[:64]])
    return [result.pixels for result in results if isinstance(result, Preprocessed)]


@pytest.fixture(scope="module")
def expected(package: ModelPackage, pixels: list[NDArray[np.uint8]]) -> list[Outputs]:
    return OpenVinoEngine(package.onnx.path, "f32", streams=4).run(pixels)


@pytest.mark.parametrize(("precision", "score", "cosine"), [("f32", 1e-3, 0.99999), ("tf32", 2e-2, 0.999)])
def test_onnxruntime_answers_as_openvino(
    package: ModelPackage,
    pixels: list[NDArray[np.uint8]],
    expected: list[Outputs],
    precision: str,
    score: float,
    cosine: float,
) -> None:
    answers = OnnxRuntimeEngine(package.onnx.path, 64, precision=precision).run(pixels)
    for answer, right in zip(answers, expected, strict=True):
        assert answer.scores is not None
        assert right.scores is not None
        assert np.abs(answer.scores - right.scores).max() < score
        product = answer.embedding @ right.embedding
        assert product / np.linalg.norm(answer.embedding) / np.linalg.norm(right.embedding) > cosine


def test_pixels_that_dali_left_on_the_gpu_are_read_there(package: ModelPackage, images: list[bytes]) -> None:
    results = DaliGpuExecutor(package.contract, 8, 4).run([np.frombuffer(image, np.uint8) for image in images[:8]])
    tensors = [result.pixels for result in results if isinstance(result, OnDevice)]
    stream = driver.Stream()
    copies = []
    for tensor in tensors:
        copies.append(np.empty(tensor.shape, np.uint8))
        stream.copy(copies[-1].ctypes.data, tensor.address, tensor.nbytes)
    stream.wait()
    engine = OnnxRuntimeEngine(package.onnx.path, 8)
    for one, other in zip(engine.run(tensors), engine.run(copies), strict=True):
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-4)


def test_an_engine_that_is_gone_has_given_its_memory_back(package: ModelPackage) -> None:
    def once() -> int:
        engine = OnnxRuntimeEngine(package.onnx.path, 64)
        engine.run([np.zeros((224, 224, 3), np.uint8)] * 64)
        del engine
        gc.collect()
        return driver.free_memory()[0]

    first = once()  # what the libraries keep for good is taken now
    assert abs(once() - first) < 64 << 20


def test_tensorrt_answers_as_openvino(
    package: ModelPackage, pixels: list[NDArray[np.uint8]], expected: list[Outputs]
) -> None:
    pytest.importorskip("tensorrt", reason="TensorRT is not installed")
    from fovea_pipelines.engines import plans, tensorrt_build
    from fovea_pipelines.engines.tensorrt_engine import TensorRtEngine

    tensorrt_build.build(package, "f16", max_batch=64, corpus=pixels)
    answers = TensorRtEngine(plans.plan_of(package), 64).run(pixels)
    same = [
        int(np.argmax(answer.scores)) == int(np.argmax(right.scores))  # type: ignore[arg-type]
        for answer, right in zip(answers, expected, strict=True)
    ]
    assert np.mean(same) > 0.98
