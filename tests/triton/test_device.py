"""Which device serves is decided before anything starts, and said with the reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fovea_pipelines.errors import NoGpu
from fovea_pipelines.gpu import found
from fovea_pipelines.gpu.found import Gpu
from fovea_pipelines.package import ModelPackage
from fovea_server.errors import StartError
from fovea_server.triton import device

GPU = Gpu("NVIDIA Test", "580.1", 8 << 30)


def _no_gpu() -> Gpu:
    raise NoGpu("this machine has no NVIDIA driver", "install one, or use the CPU")


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with a GPU, its driver's library and ONNX Runtime."""
    monkeypatch.setattr(found, "first", lambda: GPU)
    monkeypatch.setattr(device, "find_spec", lambda name: object())
    monkeypatch.setattr(device, "_loads", lambda library: True)


def test_the_cpu_serves_where_there_is_no_gpu_and_the_reason_is_known(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "first", _no_gpu)
    choice = device.choose("auto", [package], in_container=False)
    assert (choice.device, choice.reason) == ("cpu", "this machine has no NVIDIA driver")


def test_a_gpu_that_was_asked_for_and_is_not_there_is_an_error_with_the_way_out(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "first", _no_gpu)
    with pytest.raises(StartError, match="--device is cuda, but this machine has no NVIDIA driver") as raised:
        device.choose("cuda", [package], in_container=False)
    assert raised.value.hint == "install one, or use the CPU"


def test_a_gpu_serves_where_all_is_there_unless_the_cpu_was_asked_for(package: ModelPackage, with_gpu: None) -> None:
    assert device.choose("auto", [package], in_container=False) == device.Choice("cuda", "NVIDIA Test")
    assert device.choose("cpu", [package], in_container=False).device == "cpu"


def test_a_missing_package_is_named(package: ModelPackage, with_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    with pytest.raises(StartError, match="neither ONNX Runtime nor TensorRT is installed") as raised:
        device.choose("cuda", [package], in_container=False)
    assert raised.value.hint == "pip install 'fovea-server[gpu]'"


def test_the_drivers_library_must_have_the_name_that_triton_looks_for(
    package: ModelPackage, with_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_loads", lambda library: False)
    assert "libcuda.so" in str(device.choose("auto", [package], in_container=False).reason)


def test_a_model_without_a_configuration_for_the_gpu_is_named(
    package: ModelPackage, with_gpu: None, tmp_path: Path
) -> None:
    shutil.copytree(package.folder, tmp_path / "old")
    (tmp_path / "old/configs/cuda.pbtxt").unlink()
    choice = device.choose("auto", [package, ModelPackage.read(tmp_path / "old")], in_container=False)
    assert (choice.device, choice.reason) == (
        "cpu",
        "efficientnet_lite0 has no configuration for a GPU (configs/cuda.pbtxt)",
    )


def test_the_container_wants_plans_and_no_python_packages(
    package: ModelPackage, with_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "has_plan", lambda package: False)
    assert device.choose("auto", [package], in_container=True).reason == "efficientnet_lite0 has no TensorRT plan"
    monkeypatch.setattr(device, "has_plan", lambda package: True)
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    assert device.choose("auto", [package], in_container=True).device == "cuda"


@pytest.mark.parametrize(("version", "right"), [("580.159.04", True), ("590.1", True), ("575.64.03", False)])
def test_a_driver_too_old_for_cuda_13_is_said_with_both_versions(version: str, right: bool) -> None:
    if right:
        found.check_driver(version)
        return
    with pytest.raises(NoGpu, match=r"the NVIDIA driver is 575\.64\.03; .* need 580"):
        found.check_driver(version)
