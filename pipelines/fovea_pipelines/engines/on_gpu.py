"""The engine that serves a network on a GPU: its TensorRT plan where that runs, else ONNX Runtime, which says why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fovea_pipelines.engines import choice, plans
from fovea_pipelines.engines.onnxruntime_engine import OnnxRuntimeEngine, first_line

if TYPE_CHECKING:
    from fovea_pipelines.engines.tensorrt_engine import TensorRtEngine
    from fovea_pipelines.package import ModelPackage


@dataclass(frozen=True)
class Chosen:
    """`why` is for the log: what runs the network, and why not something faster."""

    engine: TensorRtEngine | OnnxRuntimeEngine
    why: str


def chosen(package: ModelPackage, max_batch: int, device: int | None, precision: str) -> Chosen:
    """Loads the engine; each of its batch sizes has run once.

    device      the GPU's number; None for ONNX Runtime on the CPU, which is how this is tested
    precision   of ONNX Runtime; a plan has its own

    A plan that is current and cannot be run all the same (no memory left for it, a file cut short, batches smaller than
    the configuration's) is noted beside it, for `choice.engine_of`. Raises NoGpu where ONNX Runtime cannot run either.
    """
    reason = choice.why_not_tensorrt(package)
    if reason is None and device is not None:
        try:
            engine = _tensorrt(package, max_batch, device)
        except Exception as error:  # TensorRT raises what it likes
            reason = f"the plan cannot be run: {first_line(error)}"
            plans.note_failure(package, reason)
        else:
            plans.forget_failure(package)
            return Chosen(engine, "TensorRT")
    package.onnx.check()
    by_onnx = OnnxRuntimeEngine(package.onnx.path, max_batch, device, precision)
    found_by = "" if device is None else f"; cuDNN's algorithms by its search {by_onnx.search}"
    return Chosen(by_onnx, f"ONNX Runtime: {reason}{found_by}")


def _tensorrt(package: ModelPackage, max_batch: int, device: int) -> TensorRtEngine:
    """In a frame of its own: what a failed engine holds of the GPU's memory goes with it."""
    from fovea_pipelines.engines.tensorrt_engine import TensorRtEngine

    return TensorRtEngine(plans.plan_of(package), max_batch, device)
