"""Which engine serves a model on this machine: on a GPU a current TensorRT plan, else ONNX Runtime; else OpenVINO."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from fovea_pipelines.engines import plans
from fovea_pipelines.errors import NoGpu
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.precision import choose

Device = Literal["cpu", "cuda"]
TENSORRT, ONNXRUNTIME, OPENVINO = "tensorrt", "onnxruntime-cuda", "openvino"


def engine_of(package: ModelPackage, device: Device, precision: str) -> str:
    """What `/v1/models` says of it, on a CPU with the precision. Cheap: nothing is loaded that takes long."""
    if device == "cpu":
        return f"{OPENVINO} {choose(package, precision)}"
    runs = why_not_tensorrt(package) is None and plans.failure(package) is None
    return TENSORRT if runs else ONNXRUNTIME


def why_not_tensorrt(package: ModelPackage) -> str | None:
    """None where the package has a plan that this machine can run."""
    if find_spec("tensorrt") is None:
        return "the Python package tensorrt is not installed"
    try:
        return plans.why_not_current(package)
    except (ImportError, NoGpu) as error:  # a library of its own is missing, or the driver
        return f"TensorRT cannot be used: {error}"
