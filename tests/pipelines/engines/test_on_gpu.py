"""A plan that cannot be run is no reason not to serve: ONNX Runtime does, and it is said everywhere."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import numpy as np
import pytest

from fovea_pipelines.engines import choice, on_gpu, plans
from fovea_pipelines.engines.plans import Key, Record
from fovea_pipelines.errors import NoGpu
from fovea_pipelines.openvino_engine import OpenVinoEngine
from fovea_pipelines.package import ModelPackage, sha256_of

KEY = Key("9.0", "10.13.2", "f16", "ab" * 32, 64)


@pytest.fixture
def own(package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelPackage:
    """With a plan that is current by its record, and no GPU: OpenVINO answers in ONNX Runtime's place."""
    shutil.copytree(package.folder, tmp_path / "model")
    own = ModelPackage.read(tmp_path / "model")
    plans.plan_of(own).write_bytes(b"a plan")
    plans.write(own, Record(KEY, sha256_of(plans.plan_of(own)), 64, 1.0, 0.1, 0.001))
    monkeypatch.setattr(plans, "key_here", lambda package, precision, max_batch: KEY)
    monkeypatch.setattr(choice, "find_spec", lambda name: name)

    def on_cpu(model: Path, max_batch: int, device: int, precision: str) -> OpenVinoEngine:
        assert (max_batch, device) == (2, 0)
        engine = OpenVinoEngine(model, precision, streams=1)
        engine.search = "HEURISTIC"  # type: ignore[attr-defined]
        return engine

    monkeypatch.setattr(on_gpu, "OnnxRuntimeEngine", on_cpu)
    return own


chosen = functools.partial(on_gpu.chosen, max_batch=2, device=0, precision="f32")


@pytest.mark.parametrize(
    "fault",
    [
        NoGpu("812 MB of GPU memory are needed; 4 of 80,000 MB are free"),
        AttributeError("'NoneType' object has no attribute 'set_input_shape'"),
    ],
)
def test_onnxruntime_serves_where_the_plan_cannot_be_run(
    own: ModelPackage, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def broken(package: ModelPackage, max_batch: int, device: int) -> None:
        raise fault

    assert choice.engine_of(own, "cuda", "auto") == choice.TENSORRT
    monkeypatch.setattr(on_gpu, "_tensorrt", broken)
    serving = chosen(own)
    assert serving.why.startswith(f"ONNX Runtime: the plan cannot be run: {fault}; cuDNN's algorithms")
    assert len(serving.engine.run([np.zeros((224, 224, 3), np.uint8)])) == 1
    assert choice.engine_of(own, "cuda", "auto") == choice.ONNXRUNTIME


def test_what_was_noted_holds_until_the_plan_runs_or_is_another(
    own: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans.note_failure(own, "no memory")
    assert plans.failure(own) == "no memory"
    plans.plan_of(own).write_bytes(b"another plan")
    plans.write(own, Record(KEY, sha256_of(plans.plan_of(own)), 64, 1.0, 0.1, 0.001))
    assert plans.failure(own) is None
    plans.note_failure(own, "no memory")
    monkeypatch.setattr(on_gpu, "_tensorrt", lambda package, max_batch, device: "the plan's engine")
    assert chosen(own) == on_gpu.Chosen("the plan's engine", "TensorRT")  # type: ignore[arg-type]
    assert choice.engine_of(own, "cuda", "auto") == choice.TENSORRT


def test_without_a_place_to_note_it_the_model_is_served_all_the_same(
    own: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "_failure_of", lambda package: Path("/proc/self/nothing/of.json"))
    plans.note_failure(own, "no memory")
    plans.forget_failure(own)
    assert plans.failure(own) is None
