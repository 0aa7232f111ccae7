"""What Triton completes by itself, or never loads, is not called wrong; what is wrong all the same is still found."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from tests.doctor import strangers

from fovea_server.doctor import examination
from fovea_server.doctor.artefacts import Gpu

AUTO_COMPLETE = """\
class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "RAW", "data_type": "TYPE_UINT8", "dims": [-1]})
        config.add_output({"name": "PIX", "data_type": "TYPE_FP32", "dims": [3, 224, 224]})
        config.set_max_batch_size(8)
        config.set_dynamic_batching()
        return config
"""
TWO_STEPS = """\
platform: "ensemble"
max_batch_size: 8
input [ { name: "IMAGE" data_type: TYPE_UINT8 dims: [ -1 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 1000 ] } ]
ensemble_scheduling { step [
  { model_name: "pre" model_version: -1
    input_map { key: "RAW" value: "IMAGE" } output_map { key: "PIX" value: "pixels" } },
  { model_name: "net" model_version: -1
    input_map { key: "data" value: "pixels" } output_map { key: "scores" value: "OUT" } }
] }
"""
TENSORS = """\
input [ { name: "data" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] } ]
output [ { name: "scores" data_type: TYPE_FP32 dims: [ 1000 ] } ]
"""


def _found(folder: Path, gpu: Gpu | None = None) -> list[tuple[str, str, str]]:
    findings = examination.examine([folder], None, threads=2, gpu=gpu)[1]
    beside = ("no-limit", "crowded-cores")
    return [(each.rule, each.model, each.what) for each in findings if each.rule not in beside]


def _two_steps(folder: Path, pre: str = 'backend: "python"', net: str | None = None) -> Path:
    """An ensemble of a Python model that completes itself and a network whose configuration is `net`, if any."""
    strangers.model(folder, "whole", TWO_STEPS, {})
    strangers.model(folder, "pre", pre, {"model.py": AUTO_COMPLETE})
    strangers.model(folder, "net", net or "", {"model.onnx": ""})
    if net is None:
        (folder / "net/config.pbtxt").unlink()
    return folder


def test_an_ensemble_of_models_that_triton_completes_has_no_errors(tmp_path: Path) -> None:
    assert _found(_two_steps(tmp_path)) == [("no-configuration", "net", "it has no config.pbtxt")]


def test_what_a_missing_configuration_costs_is_told_as_it_is(tmp_path: Path) -> None:
    _, (finding, *_) = examination.examine([_two_steps(tmp_path)], None, threads=2, gpu=None)
    assert "without dynamic batching" not in finding.why
    assert "--disable-auto-complete-config" in finding.why


@pytest.mark.parametrize("net", ['platform: "onnxruntime_onnx"', "", 'backend: "onnxruntime" max_batch_size: 8'])
def test_a_partial_configuration_is_completed_and_nothing_of_it_wrong(tmp_path: Path, net: str) -> None:
    assert _found(_two_steps(tmp_path, net=net)) == []


def test_tensors_that_are_stated_are_compared_though_others_are_not(tmp_path: Path) -> None:
    net = 'backend: "onnxruntime"\noutput [ { name: "scores" data_type: TYPE_FP16 dims: [ 10 ] } ]'
    found = _found(_two_steps(tmp_path, net=net))
    assert found == [("ensemble", "whole", "OUT is FP16[10] where it is made and FP32[-1, 1000] where it is read")]


def test_a_batch_that_may_yet_be_added_does_not_hide_another_shape(tmp_path: Path) -> None:
    net = f'platform: "tensorrt_plan"\n{TENSORS}'
    _two_steps(tmp_path, net=net)
    (tmp_path / "net/1/model.plan").touch()
    assert [rule for rule, _, _ in _found(tmp_path)] == ["no-batches"]
    (tmp_path / "net/config.pbtxt").write_text(net.replace("1000", "10"))
    assert "OUT is FP32[10] where it is made and FP32[-1, 1000] where it is read" in [
        what for *_, what in _found(tmp_path)
    ]


def test_a_tensor_that_nothing_makes_is_named_though_its_reader_states_none(tmp_path: Path) -> None:
    _two_steps(tmp_path)
    (tmp_path / "whole/config.pbtxt").write_text(TWO_STEPS.replace('value: "pixels" } },', 'value: "pixles" } },'))
    assert ("ensemble", "whole", "nothing makes the tensor pixels") in _found(tmp_path)


def test_a_batch_that_is_stated_and_too_small_is_an_error(tmp_path: Path) -> None:
    _two_steps(tmp_path, net='backend: "onnxruntime" max_batch_size: 4')
    assert _found(tmp_path) == [("ensemble", "whole", "max_batch_size is 8, and net takes 4")]
    (tmp_path / "net/config.pbtxt").write_text(f'backend: "onnxruntime"\n{TENSORS}')
    assert ("ensemble", "whole", "max_batch_size is 8, and net takes 0") in _found(tmp_path)


def test_a_python_model_that_completes_nothing_has_what_it_states(tmp_path: Path) -> None:
    _two_steps(tmp_path)
    (tmp_path / "pre/1/model.py").write_text("class TritonPythonModel:\n    pass\n")
    whats = [what for *_, what in _found(tmp_path)]
    assert {"pre has no input RAW", "max_batch_size is 8, and pre takes 0", "max_batch_size is 0"} <= set(whats)


@pytest.mark.parametrize(
    "source",
    [
        "from ours import Model as TritonPythonModel\n",
        "from ours import Base\n\nclass TritonPythonModel(Base):\n    pass\n",
    ],
)
def test_a_python_model_from_elsewhere_may_complete_itself(tmp_path: Path, source: str) -> None:
    _two_steps(tmp_path)
    (tmp_path / "pre/1/model.py").write_text(source)
    assert [rule for rule, _, _ in _found(tmp_path)] == ["no-configuration"]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ('backend: "onnxruntime" max_batch_size: 8', False),
        (f'backend: "onnxruntime" max_batch_size: 8 {TENSORS}', True),
        (f'platform: "tensorrt_plan" max_batch_size: 8 {TENSORS}', False),
        (f'backend: "tensorrtllm" max_batch_size: 8 {TENSORS}', False),
        ('backend: "dali" max_batch_size: 8', True),
        ('backend: "pytorch" max_batch_size: 8', True),
    ],
)
def test_a_batcher_is_missed_where_nobody_adds_one(tmp_path: Path, config: str, told: bool) -> None:
    strangers.model(tmp_path, "net", config, {})
    assert ("no-dynamic-batching" in [rule for rule, _, _ in _found(tmp_path)]) is told


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ('backend: "vllm" instance_group [ { count: 1 kind: KIND_MODEL } ]', False),
        (f'backend: "vllm" {TENSORS}', False),
        (f'backend: "tensorrtllm" {TENSORS}', False),
        ('backend: "onnxruntime"', False),
        ('backend: "onnxruntime" max_batch_size: 1', True),
        (f'backend: "onnxruntime" {TENSORS}', True),
        ('backend: "pytorch"', True),
    ],
)
def test_models_that_merge_requests_in_another_way_need_no_batch_size(tmp_path: Path, config: str, told: bool) -> None:
    strangers.model(tmp_path, "net", config, {})
    assert ("no-batches" in [rule for rule, _, _ in _found(tmp_path)]) is told


@pytest.mark.parametrize(
    ("policy", "lacking"),
    [
        ("", ["net/3"]),
        ("version_policy { latest { num_versions: 2 } }", ["net/2", "net/3"]),
        ("version_policy { all {} }", ["net/2", "net/3"]),
        ("version_policy { specific { versions: [ 1 ] } }", []),
        ("version_policy { specific { versions: [ 1, 2 ] } }", ["net/2"]),
    ],
)
def test_only_versions_that_are_loaded_need_their_file(tmp_path: Path, policy: str, lacking: list[str]) -> None:
    strangers.model(tmp_path, "net", f"{strangers.python('net', policy)}\ndynamic_batching {{}}", {"model.py": ""})
    for version in ("2", "3"):
        (tmp_path / "net" / version).mkdir()
    findings = examination.examine([tmp_path], None, threads=2, gpu=None)[1]
    assert [each.file for each in findings if each.rule == "missing-artefact"] == lacking


def test_a_policy_that_takes_no_version_is_an_error(tmp_path: Path) -> None:
    policy = "dynamic_batching {}\nversion_policy { specific { versions: [ 7 ] } }"
    strangers.model(tmp_path, "net", strangers.python("net", policy), {"model.py": ""})
    assert _found(tmp_path) == [("no-version", "net", "its version_policy takes none of its version folders")]


def test_a_plan_for_each_gpu_is_found_by_its_name(tmp_path: Path) -> None:
    names = 'cc_model_filenames [ { key: "7.5" value: "t4.plan" }, { key: "8.0" value: "a100.plan" } ]'
    plan = struct.pack("<II", 0x74727466, 0) + bytes(16) + bytes((10, 3, 0, 26)) + bytes(100)
    config = f'platform: "tensorrt_plan" max_batch_size: 8 {names}'
    strangers.model(tmp_path, "net", config, {"t4.plan": b"of another machine", "a100.plan": plan})
    assert _found(tmp_path) == []
    assert _found(tmp_path, Gpu("8.0", "10.3.0")) == []
    assert [rule for rule, _, _ in _found(tmp_path, Gpu("7.5", "10.3.0"))] == ["foreign-plan"]
    assert _found(tmp_path, Gpu("9.0", "10.3.0")) == [("missing-artefact", "net", "there is no model.plan")]
    (tmp_path / "net/1/a100.plan").unlink()
    assert _found(tmp_path, Gpu("8.0", "10.3.0")) == [("missing-artefact", "net", "there is no a100.plan")]


def test_a_file_name_that_no_file_can_have_is_a_file_that_is_missing(tmp_path: Path) -> None:
    config = strangers.python("net", f'dynamic_batching {{}} default_model_filename: "{"x" * 300}"')
    strangers.model(tmp_path, "net", config, {})
    assert [rule for rule, _, _ in _found(tmp_path)] == ["missing-artefact"]
