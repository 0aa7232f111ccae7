"""A plan is for one GPU, one TensorRT, one precision and one graph, and is refused if it answers otherwise. All that
can be known of this without TensorRT."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.pipelines.adding import networks

from fovea_pipelines.adding.graphs.adopt import adopt
from fovea_pipelines.engines import choice, plans, tensorrt_build, tensorrt_check, trtexec
from fovea_pipelines.engines.plans import Key, Record
from fovea_pipelines.engines.span_output import with_span
from fovea_pipelines.engines.trtexec import Profile
from fovea_pipelines.errors import BadNetwork, MissingArtefact, NoGpu
from fovea_pipelines.openvino_engine import OpenVinoEngine, Outputs
from fovea_pipelines.package import ModelPackage, sha256_of

KEY = Key("9.0", "10.13.2", "f16", "ab" * 32, 64)


@pytest.fixture
def own(package: ModelPackage, tmp_path: Path) -> ModelPackage:
    shutil.copytree(package.folder, tmp_path / "model")
    return ModelPackage.read(tmp_path / "model")


def _write_plan(package: ModelPackage) -> None:
    plans.plan_of(package).write_bytes(b"a plan")
    plans.write(package, Record(KEY, sha256_of(plans.plan_of(package)), 64, 1.0, 0.1, 0.001))


def _with_plan(package: ModelPackage, monkeypatch: pytest.MonkeyPatch, here: Key = KEY) -> None:
    _write_plan(package)
    monkeypatch.setattr(plans, "key_here", lambda package, precision, max_batch: here)


def test_a_plan_is_current_for_what_it_was_made_for(own: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plans.why_not_current(own) == "there is no plan; make one with `fovea models build --engine tensorrt`"
    _with_plan(own, monkeypatch)
    assert plans.why_not_current(own) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"architecture": "8.9"}, "it was made for architecture 9.0, and 8.9 is needed"),
        ({"tensorrt": "10.14.0"}, "it was made for tensorrt 10.13.2, and 10.14.0 is needed"),
        ({"precision": "f32"}, "it was made for precision f16, and f32 is needed"),
        ({"onnx": "cd" * 32}, "it was made for onnx ab"),
        ({"max_batch": 128}, "it was made for max_batch 64, and 128 is needed"),
    ],
)
def test_whatever_changes_makes_it_out_of_date(
    own: ModelPackage, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], said: str
) -> None:
    _with_plan(own, monkeypatch, dataclasses.replace(KEY, **changed))  # type: ignore[arg-type]
    assert f"the plan is out of date: {said}" in str(plans.why_not_current(own))


def test_a_plan_that_is_not_the_one_described_is_not_run(own: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_plan(own, monkeypatch)
    plans.plan_of(own).write_bytes(b"another")
    assert "not one that `fovea models build --engine tensorrt` made" in str(plans.why_not_current(own))
    plans.record_of(own).write_text("{")
    assert plans.read(own) is None


def test_the_graph_gets_zeros_for_its_span_and_answers_as_before(package: ModelPackage, tmp_path: Path) -> None:
    model = with_span(onnx.load(package.onnx.path))
    assert [output.name for output in model.graph.output] == ["SCORES", "EMBEDDING", "MODEL_SPAN"]
    assert with_span(model) == model
    path = tmp_path / "with_span.onnx"
    onnx.save(model, path)
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    pixels = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    answer = compiled({"PIXELS": pixels})
    np.testing.assert_array_equal(answer["MODEL_SPAN"], np.zeros((3, 2), np.int64))
    assert answer["MODEL_SPAN"].dtype == np.int64
    for row, expected in zip(
        answer["EMBEDDING"], OpenVinoEngine(package.onnx.path, "f32", 1).run(list(pixels)), strict=True
    ):
        np.testing.assert_allclose(row, expected.embedding, atol=1e-4)


@pytest.mark.parametrize("opset", [11, 13, 17])
def test_a_graph_of_any_opset_that_is_added_gets_its_span(opset: int, tmp_path: Path) -> None:
    size = {"height": networks.HEIGHT, "width": networks.WIDTH, "mean": networks.MEAN, "std": networks.STD}
    adopted = adopt(networks.classifier(opset=opset), **size)
    model = with_span(onnx.load_from_string(adopted.model))
    onnx.save(model, tmp_path / "with_span.onnx")
    import openvino

    answer = openvino.Core().compile_model(tmp_path / "with_span.onnx", "CPU")({"PIXELS": networks.images(3)})
    np.testing.assert_array_equal(answer["MODEL_SPAN"], np.zeros((3, 2), np.int64))


@pytest.mark.parametrize(("precision", "flags"), [("f16", ["--fp16"]), ("f32", []), ("int8", ["--int8", "--fp16"])])
def test_trtexec_is_told_the_same_as_the_api(precision: str, flags: list[str]) -> None:
    profile = Profile((224, 224, 3), 1, 32, 64)
    words = trtexec.command("trtexec", Path("m.onnx"), Path("m.plan"), Path("cache"), precision, profile)
    assert words == [
        *("trtexec", "--onnx=m.onnx", "--saveEngine=m.plan", "--timingCacheFile=cache", "--skipInference"),
        "--minShapes=PIXELS:1x224x224x3",
        "--optShapes=PIXELS:32x224x224x3",
        "--maxShapes=PIXELS:64x224x224x3",
        *flags,
    ]


def test_what_trtexec_says_last_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.CompletedProcess([], 1, "[I] reading\n[E] no such operator\n[I] bye", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(BadNetwork, match=r"trtexec could not make a plan: \[E\] no such operator"):
        trtexec.run(["trtexec"])


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_without_tensorrt_nothing_is_built_and_onnxruntime_serves(package: ModelPackage) -> None:
    with pytest.raises(NoGpu, match="TensorRT is not installed") as raised:
        tensorrt_build.build(package, corpus=[])
    assert "ONNX Runtime serves" in str(raised.value.hint)
    assert choice.why_not_tensorrt(package) == "the Python package tensorrt is not installed"


def test_a_tensorrt_that_cannot_be_loaded_is_a_reason_and_no_fault(
    own: ModelPackage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _write_plan(own)
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    assert choice.why_not_tensorrt(own) == ("TensorRT cannot be used: libnvinfer.so.10: cannot open shared object file")
    assert choice.engine_of(own, "cuda", "auto") == choice.ONNXRUNTIME


def test_an_8_bit_plan_needs_an_8_bit_graph(own: ModelPackage) -> None:
    table = {**own.table, "artefacts": {"onnx": own.table["artefacts"]["onnx"]}}
    with pytest.raises(MissingArtefact, match="has no 8-bit form"):
        tensorrt_build.graph_of(dataclasses.replace(own, table=table), "int8")
    with pytest.raises(BadNetwork, match="there is no precision 'f8'"):
        tensorrt_build.check_possible(own, "f8")


def test_what_half_floats_cannot_hold_is_no_drift() -> None:
    scores = np.full(1000, 1e-9, np.float32)
    scores[:3] = 0.98, 0.0199, 3e-5
    expected = [Outputs(scores, np.array([1, 0], np.float32))]
    rounded = [Outputs(scores.astype(np.float16).astype(np.float32), np.array([1, 0], np.float32))]
    assert tensorrt_check.compare(rounded, expected).logits < 0.01


def test_a_plan_that_answers_otherwise_is_refused_with_every_measure(package: ModelPackage) -> None:
    right = [Outputs(np.array([0.7, 0.2, 0.1], np.float32), np.array([1, 0], np.float32))] * 40
    wrong = [Outputs(np.array([0.1, 0.2, 0.7], np.float32), np.array([0, 1], np.float32))] * 40
    same = tensorrt_check.compare(right, right)
    assert (same.images, same.top_1, same.logits) == (40, 1.0, 0.0)
    tensorrt_check.refuse_beyond_limits(package, "f32", same)
    with pytest.raises(BadNetwork) as raised:
        tensorrt_check.refuse_beyond_limits(package, "f16", tensorrt_check.compare(wrong, right))
    for words in ("40 images", "same best class 0, at least 0.99", "logit drift", "embedding drift 1"):
        assert words in str(raised.value)
    broken = [Outputs(np.full(3, np.nan, np.float32), np.full(2, np.nan, np.float32))] * 40
    with pytest.raises(BadNetwork, match="embedding drift inf"):
        tensorrt_check.refuse_beyond_limits(package, "int8", tensorrt_check.compare(broken, right))
