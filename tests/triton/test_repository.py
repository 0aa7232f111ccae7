"""Every Triton configuration parses, and the GPU's declares the same tensors as the CPU's."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from fovea_pipelines import triton_folders
from fovea_pipelines.errors import BadPackage
from fovea_pipelines.package import ModelPackage, contract_of
from fovea_server.errors import StartError
from fovea_server.triton import repository as on_disk

MODELS = ("preprocess_224", "efficientnet_lite0", "classify_efficientnet_lite0")


def _config(path: Path) -> ModelConfig:
    return text_format.Parse(path.read_text(), ModelConfig())


def _tensors(config: ModelConfig) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {
        tensor.name: (DataType.Name(tensor.data_type), tuple(tensor.dims)) for tensor in (*config.input, *config.output)
    }


@pytest.mark.parametrize("name", MODELS)
def test_a_configuration_parses_and_is_named_after_its_folder(repository: Path, name: str) -> None:
    for path in [repository / name / "config.pbtxt", *sorted((repository / name / "configs").glob("*.pbtxt"))]:
        assert _config(path).name == name


@pytest.mark.parametrize("name", ["preprocess_224", "efficientnet_lite0"])
def test_the_gpu_and_the_cpu_declare_the_same_inputs_and_outputs(repository: Path, name: str) -> None:
    cpu = _tensors(_config(repository / name / "configs/cpu.pbtxt"))
    for gpu in ("config.pbtxt", "configs/cuda.pbtxt"):
        assert _tensors(_config(repository / name / gpu)) == cpu


@pytest.mark.parametrize("config", ["config.pbtxt", "configs/cpu.pbtxt", "configs/cuda.pbtxt"])
def test_requests_of_different_length_can_merge(repository: Path, config: str) -> None:
    preprocess = _config(repository / "preprocess_224" / config)
    assert preprocess.input[0].allow_ragged_batch
    for name in ("preprocess_224", "efficientnet_lite0"):
        model = _config(repository / name / config)
        assert model.HasField("dynamic_batching")
        assert model.max_batch_size > 1


@pytest.mark.parametrize("name", ["preprocess_224", "efficientnet_lite0"])
def test_no_queue_policy_turns_prefetching_off(repository: Path, name: str) -> None:
    """With any queue policy the batcher of Triton 2.51 no longer prefetches, and the last requests of a burst wait for
    its 500 ms timer. The gateway bounds the queue instead."""
    for path in [repository / name / "config.pbtxt", *(repository / name / "configs").glob("*.pbtxt")]:
        assert not _config(path).dynamic_batching.HasField("default_queue_policy"), path


def test_the_gpu_runs_dali_and_a_tensorrt_plan(repository: Path) -> None:
    assert _config(repository / "preprocess_224/config.pbtxt").backend == "dali"
    assert _config(repository / "efficientnet_lite0/config.pbtxt").platform == "tensorrt_plan"


def test_without_the_container_the_gpu_runs_other_models_that_keep_pixels_there(repository: Path) -> None:
    for name in ("preprocess_224", "efficientnet_lite0"):
        config = _config(repository / name / "configs/cuda.pbtxt")
        assert (config.backend, config.default_model_filename) == ("python", "gpu.py")
        assert (repository / name / "1" / config.default_model_filename).is_file()
        assert [(group.Kind.Name(group.kind), list(group.gpus)) for group in config.instance_group] == [
            ("KIND_GPU", [0])
        ]
    network = _config(repository / "efficientnet_lite0/configs/cuda.pbtxt")
    assert network.parameters["FORCE_CPU_ONLY_INPUT_TENSORS"].string_value == "no"


@pytest.mark.parametrize("config", ["config.pbtxt", "configs/cpu.pbtxt", "configs/cuda.pbtxt"])
def test_the_stages_of_the_ensemble_fit_together(repository: Path, config: str) -> None:
    ensemble = _config(repository / "classify_efficientnet_lite0/config.pbtxt")
    declared = _tensors(ensemble)
    for step in ensemble.ensemble_scheduling.step:
        stage = _tensors(_config(repository / step.model_name / config))
        for inside, outside in (*step.input_map.items(), *step.output_map.items()):
            assert declared.setdefault(outside, stage[inside]) == stage[inside]
    assert declared["SCORES"] == ("TYPE_FP32", (1000,))
    assert declared["EMBEDDING"] == ("TYPE_FP32", (1280,))
    assert declared["QUALITY"] == ("TYPE_FP32", (3,))
    assert declared["pixels"] == ("TYPE_UINT8", (224, 224, 3))


def test_the_pixels_between_the_stages_have_the_contracts_size(repository: Path, package: ModelPackage) -> None:
    pixels = _tensors(_config(repository / "preprocess_224/configs/cpu.pbtxt"))["PIXELS"]
    assert pixels == ("TYPE_UINT8", (package.contract.output_height, package.contract.output_width, 3))


def test_the_folders_are_what_adding_the_model_would_write(repository: Path, package: ModelPackage) -> None:
    """All but `contract.toml`, and the files that describe the model."""
    network = triton_folders.Network.of(package)
    folders = {
        "preprocess_224": triton_folders.preprocess("preprocess_224", 224, 224),
        "efficientnet_lite0": triton_folders.network(network),
        "classify_efficientnet_lite0": triton_folders.ensemble(network),
    }
    for folder, files in folders.items():
        for name, text in files.items():
            assert (repository / folder / name).read_text() == text, f"{folder}/{name}"


def test_the_contract_that_is_carried_out_is_the_packages(repository: Path, package: ModelPackage) -> None:
    assert contract_of(repository / package.preprocess) == package.contract


def test_the_ensemble_of_all_preprocesses_once_for_each_contract(package: ModelPackage) -> None:
    first = triton_folders.Network.of(package)
    same = dataclasses.replace(first, name="same", classes=10)
    other = dataclasses.replace(first, name="other", preprocess="preprocess_384", classes=0, features=7)
    files = triton_folders.analyze([first, same, other])
    ensemble = text_format.Parse(files["config.pbtxt"], ModelConfig())
    steps = [step.model_name for step in ensemble.ensemble_scheduling.step]
    assert steps == ["preprocess_224", "preprocess_384", "efficientnet_lite0", "same", "other"]
    tensors = _tensors(ensemble)
    assert tensors["same/SCORES"] == ("TYPE_FP32", (10,))
    assert tensors["other/EMBEDDING"] == ("TYPE_FP32", (7,))
    assert "other/SCORES" not in tensors


def _state(repository: Path, state: Path) -> on_disk.Repositories:
    return on_disk.Repositories(repository, state, moment=state / "moment")


def test_a_model_whose_pixels_are_made_by_another_contract_is_refused(
    repository: Path, package: ModelPackage, tmp_path: Path
) -> None:
    shutil.copytree(package.folder, tmp_path / "models/other")
    description = tmp_path / "models/other/model.toml"
    description.write_text(description.read_text().replace("resize_to = 256", "resize_to = 232"))
    with pytest.raises(BadPackage, match=r"preprocess_224/contract.toml is not the \[contract\] of"):
        _state(repository, tmp_path).added_package("other")


def test_a_name_that_is_there_twice_is_refused_with_the_way_out(
    repository: Path, package: ModelPackage, tmp_path: Path
) -> None:
    shutil.copytree(package.folder, tmp_path / "models" / package.name)
    with pytest.raises(StartError, match="there is a model efficientnet_lite0 in") as raised:
        _state(repository, tmp_path).packages()
    assert raised.value.hint == "remove one: fovea models remove efficientnet_lite0"


def test_a_repository_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="holds no model package"):
        on_disk.packages(tmp_path)


def test_the_checkouts_repository_is_the_default(repository: Path) -> None:
    assert on_disk.default_folder() == repository
