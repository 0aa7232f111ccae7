"""What Triton's Python backend runs on a GPU: the same two models, with pixels that stay in the GPU's memory.

Triton starts them where a model's configuration names `gpu.py` instead of `model.py` (`configs/cuda.pbtxt`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import triton_python_backend_utils as pb_utils  # provided by Triton's Python backend

from fovea_pipelines import garbage
from fovea_pipelines.dali_executor import DaliGpuExecutor, Device, GpuResult, OnDevice
from fovea_pipelines.dali_graph import OnGpu
from fovea_pipelines.engines import on_gpu
from fovea_pipelines.gpu import device_tensor, found
from fovea_pipelines.gpu.device_tensor import DeviceTensor
from fovea_pipelines.gpu.host_copy import HostCopy
from fovea_pipelines.package import ModelPackage, contract_of
from fovea_pipelines.triton_models import ModelSettings, answered, each_answered, failed, scored, span_of

if TYPE_CHECKING:
    from fovea_pipelines.outputs import Outputs


class Preprocess:
    """IMAGE UINT8 (n,) to PIXELS UINT8 (height, width, 3) on the GPU and QUALITY FP32 (3,), by the contract in its own
    folder."""

    def initialize(self, args: dict[str, str]) -> None:
        settings = ModelSettings(args)
        _check_gpu(settings)
        decoding = OnGpu(hardware_load=float(settings.text("hardware_load")))
        device = Device(settings.device, decoding)
        contract = contract_of(settings.folder)
        self._executor = DaliGpuExecutor(contract, settings.max_batch, settings.threads(), device)
        self._stays = settings.text("pixels") == "device"
        self._on_host = HostCopy(settings.device)
        self._executor.warm_up()
        garbage.keep_what_is_alive()

    def execute(self, requests: list[Any]) -> list[Any]:
        return each_answered(requests, self._executor.run, self._preprocessed)

    def _preprocessed(self, request: Any, group: list[GpuResult], span: tuple[int, int]) -> Any:
        made = [result for result in group if isinstance(result, OnDevice)]
        if len(made) < len(group):
            return failed(next(result for result in group if not isinstance(result, OnDevice)))
        together = device_tensor.joined([result.pixels for result in made])
        if together is not None and self._stays:
            pixels = pb_utils.Tensor.from_dlpack("PIXELS", together)
        else:
            pixels = pb_utils.Tensor("PIXELS", np.stack([self._on_host(result.pixels) for result in made]))
        quality = np.stack([result.quality for result in made])
        return answered(pixels, QUALITY=quality, PREPROCESS_SPAN=span_of(*span, len(made)))


class Network:
    """PIXELS UINT8 (height, width, 3) to SCORES FP32 (classes,) and EMBEDDING FP32 (features,): by TensorRT where the
    package has a plan for this GPU, else by ONNX Runtime."""

    def initialize(self, args: dict[str, str]) -> None:
        settings = ModelSettings(args)
        _check_gpu(settings)
        package = ModelPackage.read(settings.folder)
        chosen = on_gpu.chosen(package, settings.max_batch, settings.device, settings.text("precision"))
        pb_utils.Logger.log_info(f"{package.name} runs on {chosen.why}")
        self._engine = chosen.engine
        garbage.keep_what_is_alive()

    def execute(self, requests: list[Any]) -> list[Any]:
        begin = time.monotonic_ns()
        groups = [_pixels_of(request) for request in requests]
        outputs = iter(self._engine.run(groups))
        answers: list[list[Outputs]] = [[next(outputs) for _ in range(group.shape[0])] for group in groups]
        end = time.monotonic_ns()
        return [scored(group, (begin, end)) for group in answers]


def _check_gpu(settings: ModelSettings) -> None:
    """An instance that Triton placed on the CPU (KIND_CPU) does the same there, which is how this is tested."""
    if settings.device is not None:
        found.first()


def _pixels_of(request: Any) -> DeviceTensor:
    """UINT8 (n, height, width, 3), where Triton has them: on the GPU, or on the host."""
    return DeviceTensor.of(pb_utils.get_input_tensor_by_name(request, "PIXELS").to_dlpack())
