"""Every Triton configuration parses, and the GPU's declares the same tensors as the CPU's."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from fovea_pipelines.package import ModelPackage
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
    gpu, cpu = _config(repository / name / "config.pbtxt"), _config(repository / name / "configs/cpu.pbtxt")
    assert _tensors(gpu) == _tensors(cpu)


@pytest.mark.parametrize("config", ["config.pbtxt", "configs/cpu.pbtxt"])
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


@pytest.mark.parametrize("config", ["config.pbtxt", "configs/cpu.pbtxt"])
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


def test_a_repository_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="holds no model package"):
        on_disk.packages(tmp_path)


def test_the_checkouts_repository_is_the_default(repository: Path) -> None:
    assert on_disk.default_folder() == repository
