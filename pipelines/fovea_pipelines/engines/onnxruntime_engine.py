"""Run a model's ONNX graph with ONNX Runtime: on a GPU through CUDA, or on the CPU, which is how it is tested."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fovea_pipelines import outputs
from fovea_pipelines.engines import batch_sizes, staging
from fovea_pipelines.engines.staging import Image
from fovea_pipelines.errors import NoGpu
from fovea_pipelines.gpu import driver
from fovea_pipelines.outputs import Outputs

PRECISIONS = ("f32", "tf32")
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"

# How cuDNN is asked for a convolution's algorithm (`cudnn_conv_algo_search`): by its quick heuristic, by its thorough
# one, by what it falls back to. One of them may know none for a padding of one side only (onnxruntime issue 26274).
SEARCHES = ("HEURISTIC", "EXHAUSTIVE", "DEFAULT")


class OnnxRuntimeEngine:
    """A batch at a time, filled up to one of a few sizes. Not thread-safe; one for each model instance.

    device      the GPU's number; None for the CPU
    precision   "f32", or "tf32": convolutions on tensor cores with mantissas of 10 bits

    The pixels are read where `Staging` has them on the device; the outputs, a few kilobytes an image, go to the host.
    Each size has a session of its own: since 1.20 a session's convolutions plan anew whenever the size changes, all of
    them (onnxruntime issue 23006). `search` says how their algorithms were found: the first way of `SEARCHES` that
    finds some for every size.
    """

    def __init__(self, model: Path, max_batch: int, device: int | None = 0, precision: str = "f32") -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}; supported: {', '.join(PRECISIONS)}")
        self._sizes = batch_sizes.up_to(max_batch, batch_sizes.FEW)
        network = _session(model, device, precision, SEARCHES[0])
        (pixels,) = network.get_inputs()
        self._shape = tuple(pixels.shape[1:])
        self._names = [output.name for output in network.get_outputs()]
        del network  # its weights are in the GPU's memory
        self.classifies = "SCORES" in self._names
        room = (max_batch, *self._shape)
        self._staging = staging.OnHost(room) if device is None else staging.OnGpu(room, device)
        self._where = ("cpu", 0) if device is None else ("cuda", device)
        self._sessions: dict[int, Any] = {}
        self.search = self._first_that_runs(model, device, precision)

    def _first_that_runs(self, model: Path, device: int | None, precision: str) -> str:
        """Make the sessions, and let each run once: cuDNN plans then, while nobody's request waits."""
        failures = []
        for search in SEARCHES:
            try:
                for size in self._sizes:
                    self._sessions[size] = _session(model, device, precision, search)
                    self._infer(size)
            except NoGpu:
                raise
            except Exception as error:  # ONNX Runtime's own classes have no other base
                self._sessions.clear()
                failures.append(f"{search}: {first_line(error)}")
            else:
                return search
        where = "" if device is None else f"; {_memory(device)}"
        raise NoGpu(f"ONNX Runtime cannot run {model.name}: {'; '.join(failures)}{where}")

    def run(self, images: Sequence[Image]) -> list[Outputs]:
        """Outputs for each image, UINT8 (height, width, 3) or several (n, height, width, 3), in order; at most
        `max_batch` of them. They may lie on the GPU."""
        if not (count := staging.count(images)):
            return []
        self._staging.fill(images)
        return outputs.each(self._infer(batch_sizes.filled_up(count, self._sizes)), count)

    def _infer(self, size: int) -> dict[str, Any]:
        session = self._sessions[size]
        binding = session.io_binding()
        binding.bind_input("PIXELS", *self._where, np.uint8, (size, *self._shape), self._staging.address)
        for name in self._names:
            binding.bind_output(name, "cpu")
        session.run_with_iobinding(binding)
        return dict(zip(self._names, binding.copy_outputs_to_cpu(), strict=True))


def _session(model: Path, device: int | None, precision: str, search: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise NoGpu(f"ONNX Runtime cannot be used: {error}", "pip install 'fovea-server[gpu]'") from error
    options = onnxruntime.SessionOptions()
    # On a GPU the CPU only gives orders.
    options.intra_op_num_threads = 1
    if device is None:
        return onnxruntime.InferenceSession(model, options, providers=[CPU])
    # cuBLAS, cuDNN and the runtime, where pip put them.
    onnxruntime.preload_dlls()
    settings = {
        "device_id": str(device),
        "use_tf32": str(int(precision == "tf32")),
        "cudnn_conv_algo_search": search,
        # Growing by powers of two, the arena takes up to twice what the network needs.
        "arena_extend_strategy": "kSameAsRequested",
    }
    try:
        session = onnxruntime.InferenceSession(model, options, providers=[(CUDA, settings), CPU])
    except Exception as error:  # its own classes have no other base
        raise NoGpu(f"ONNX Runtime cannot load {model.name}: {first_line(error)}; {_memory(device)}") from error
    if CUDA not in session.get_providers():
        raise NoGpu(
            f"ONNX Runtime {onnxruntime.__version__} cannot use the GPU: its CUDA libraries are not all there",
            "pip install 'fovea-server[gpu]', and not the package onnxruntime beside onnxruntime-gpu",
        )
    return session


def first_line(error: Exception) -> str:
    """Of what it says; its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _memory(device: int) -> str:
    """For an error that may be for want of it."""
    try:
        free, total = driver.free_memory(device)
    except NoGpu as error:
        return str(error)
    return f"{free / 1e6:,.0f} of {total / 1e6:,.0f} MB of GPU memory are free"
