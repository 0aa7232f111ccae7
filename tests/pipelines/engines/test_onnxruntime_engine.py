"""ONNX Runtime answers as OpenVINO does, whatever the batch and wherever its images lie. On the CPU, where it is
installed; on a GPU in tests/gpu."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea_pipelines.engines import onnxruntime_engine
from fovea_pipelines.engines.onnxruntime_engine import OnnxRuntimeEngine
from fovea_pipelines.errors import NoGpu
from fovea_pipelines.gpu.device_tensor import on_host
from fovea_pipelines.openvino_engine import OpenVinoEngine
from fovea_pipelines.package import ModelPackage

onnxruntime = pytest.importorskip("onnxruntime")


def test_a_batch_of_any_size_is_answered_as_by_openvino(package: ModelPackage) -> None:
    model = package.onnx.path
    engine = OnnxRuntimeEngine(model, max_batch=4, device=None)
    assert engine.classifies
    images = list(np.random.default_rng(0).integers(0, 256, (4, 224, 224, 3), dtype=np.uint8))
    expected = OpenVinoEngine(model, "f32", streams=1).run(images)
    assert engine.run([]) == []
    for count in (1, 3, 4):
        answers = engine.run(images[:count])
        assert len(answers) == count
        for answer, right in zip(answers, expected, strict=False):
            np.testing.assert_allclose(answer.scores, right.scores, atol=1e-4)  # type: ignore[arg-type]
            np.testing.assert_allclose(answer.embedding, right.embedding, atol=1e-3)


def test_images_from_other_libraries_and_whole_batches_are_taken_too(package: ModelPackage) -> None:
    engine = OnnxRuntimeEngine(package.onnx.path, max_batch=4, device=None)
    images = np.random.default_rng(1).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    apart = engine.run(list(images))
    together = engine.run([images[:2], on_host(images[2])])
    for one, other in zip(apart, together, strict=True):
        np.testing.assert_array_equal(one.embedding, other.embedding)


class _WithoutPlans:
    """A session whose convolutions find no algorithm."""

    def __init__(self, session: Any) -> None:
        self.get_inputs, self.get_outputs = session.get_inputs, session.get_outputs

    def io_binding(self) -> None:
        raise RuntimeError("no valid engine configs\nand much more")


def test_where_one_search_finds_no_algorithm_the_next_is_taken(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def session(model: Path, device: int | None, precision: str, search: str) -> Any:
        made = real(model, device, precision, search)
        return _WithoutPlans(made) if search in barren else made

    real, barren = onnxruntime_engine._session, {"HEURISTIC"}
    monkeypatch.setattr(onnxruntime_engine, "_session", session)
    assert OnnxRuntimeEngine(package.onnx.path, max_batch=2, device=None).search == "EXHAUSTIVE"
    barren |= set(onnxruntime_engine.SEARCHES)
    failed = "no valid engine configs"
    with pytest.raises(NoGpu, match=f"model.onnx: HEURISTIC: {failed}; EXHAUSTIVE: {failed}; DEFAULT: {failed}$"):
        OnnxRuntimeEngine(package.onnx.path, max_batch=2, device=None)


def test_a_gpu_that_onnxruntime_cannot_use_is_said(package: ModelPackage) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime can use one")
    with pytest.raises(NoGpu, match="cannot use the GPU"):
        OnnxRuntimeEngine(package.onnx.path, max_batch=4, device=0)
