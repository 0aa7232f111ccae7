"""Run a model's ONNX graph on the CPU with OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from fovea_pipelines import precision as precisions
from fovea_pipelines.outputs import Outputs

__all__ = ["OpenVinoEngine", "Outputs"]


class OpenVinoEngine:
    """One image per inference request, as many at once as there are streams.

    On a CPU a convolutional network gains nothing from a larger batch (measured: 1, 4 and 8 within 10% of each
    other), while a graph compiled for one image is compiled once and never padded. Parallelism comes from `streams`,
    each one thread.
    """

    def __init__(self, model: Path, precision: str, streams: int) -> None:
        if precision not in precisions.PRECISIONS:
            raise ValueError(f"precision is {precision!r}; supported: {', '.join(precisions.PRECISIONS)}")
        core = ov.Core()
        graph = core.read_model(model)
        _, *pixel_shape = graph.input("PIXELS").get_partial_shape()
        size = tuple(dimension.get_length() for dimension in pixel_shape)
        graph.reshape({"PIXELS": ov.PartialShape([1, *size])})
        compiled = core.compile_model(
            graph,
            "CPU",
            {
                # Of an 8-bit graph, what is left in floats.
                "INFERENCE_PRECISION_HINT": precisions.of_floats(precision),
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": streams,
                # Pinned, every process that infers sits on the same first cores.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self.classifies = any("SCORES" in output.get_names() for output in compiled.outputs)
        self._queue = ov.AsyncInferQueue(compiled, streams)
        self._queue.set_callback(self._keep)
        # The first inference of each stream allocates and takes ten times as long; nobody should wait for it.
        self.run([np.zeros(size, dtype=np.uint8)] * streams)

    def run(self, images: Sequence[NDArray[np.uint8]]) -> list[Outputs]:
        """Outputs for each image, UINT8 (height, width, 3), in order."""
        results: list[Outputs | None] = [None] * len(images)
        # Shared, not copied, which takes a tenth off an inference: they have to be in one piece, and kept till the end.
        kept = [np.ascontiguousarray(pixels)[np.newaxis] for pixels in images]
        for index, pixels in enumerate(kept):
            self._queue.start_async({"PIXELS": pixels}, (results, index), share_inputs=True)
        self._queue.wait_all()
        return [result for result in results if result is not None]

    def _keep(self, request: Any, slot: tuple[list[Outputs | None], int]) -> None:
        results, index = slot
        # Copied: the request's own tensors are overwritten by the next image.
        scores = request.get_tensor("SCORES").data[0].copy() if self.classifies else None
        results[index] = Outputs(scores, request.get_tensor("EMBEDDING").data[0].copy())
