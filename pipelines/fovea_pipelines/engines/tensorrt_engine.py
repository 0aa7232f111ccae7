"""Run a TensorRT plan through TensorRT's Python API."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovea_pipelines import outputs
from fovea_pipelines.engines import batch_sizes, staging
from fovea_pipelines.engines.staging import Image, OnGpu
from fovea_pipelines.errors import NoGpu
from fovea_pipelines.gpu.driver import Memory, Stream
from fovea_pipelines.outputs import Outputs

_WANTED = ("SCORES", "EMBEDDING")


class TensorRtEngine:
    """A batch at a time, filled up to one of a few sizes. Not thread-safe; one for each model instance."""

    def __init__(self, plan: Path, max_batch: int, device: int = 0) -> None:
        self._stream = Stream(device)
        engine = self._engine = _engine(plan)
        self._context = engine.create_execution_context()
        names = [engine.get_tensor_name(place) for place in range(engine.num_io_tensors)]
        self._shape = tuple(engine.get_tensor_shape("PIXELS")[1:])
        most = int(engine.get_tensor_profile_shape("PIXELS", 0)[2][0])
        if most < max_batch:
            raise NoGpu(
                f"{plan.name} takes batches of {most} images; the model's configuration allows {max_batch}",
                "build it again with `fovea models build --engine tensorrt`",
            )
        self._sizes = batch_sizes.up_to(max_batch, batch_sizes.MANY)
        self._staging = OnGpu((max_batch, *self._shape), device)
        self._context.set_tensor_address("PIXELS", self._staging.address)
        self._rooms = {name: self._room(name, max_batch, device) for name in names if name != "PIXELS"}
        self.classifies = "SCORES" in names
        for size in self._sizes:
            self._infer(size)

    def run(self, images: Sequence[Image]) -> list[Outputs]:
        """Outputs for each image, UINT8 (height, width, 3) or several (n, height, width, 3), in order; at most
        `max_batch` of them. They may lie on the GPU."""
        if not (count := staging.count(images)):
            return []
        self._staging.fill(images)
        return outputs.each(self._infer(batch_sizes.filled_up(count, self._sizes)), count)

    def _infer(self, size: int) -> dict[str, NDArray[np.float32]]:
        self._context.set_input_shape("PIXELS", (size, *self._shape))
        if not self._context.execute_async_v3(self._stream.handle):
            raise RuntimeError(f"TensorRT could not run a batch of {size}")
        made: dict[str, NDArray[np.float32]] = {}
        for name in (name for name in _WANTED if name in self._rooms):
            array = np.empty(tuple(self._context.get_tensor_shape(name)), dtype=np.float32)
            self._stream.copy(array.ctypes.data, self._rooms[name].address, array.nbytes)
            made[name] = array
        self._stream.wait()
        return made

    def _room(self, name: str, max_batch: int, device: int) -> Memory:
        """For an output of a whole batch; 8 bytes a number are enough for each type there is."""
        width = int(np.prod(tuple(self._engine.get_tensor_shape(name))[1:]))
        memory = Memory(8 * width * max_batch, device)
        self._context.set_tensor_address(name, memory.address)
        return memory


def _engine(plan: Path) -> Any:
    import tensorrt

    logger = tensorrt.Logger(tensorrt.Logger.WARNING)
    engine = tensorrt.Runtime(logger).deserialize_cuda_engine(plan.read_bytes())
    if engine is None:
        raise NoGpu(
            f"TensorRT {tensorrt.__version__} cannot run {plan.name}; it was made for another GPU or version",
            "build it again with `fovea models build --engine tensorrt`",
        )
    return engine
