"""Run a model's ONNX graph on the CPU with OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

PRECISIONS = ("f32", "bf16")


@dataclass(frozen=True)
class Scored:
    """A model's outputs for one image: `scores` FP32 (classes,) that sum to 1, `embedding` FP32 (features,)."""

    scores: NDArray[np.float32]
    embedding: NDArray[np.float32]


class OpenVinoEngine:
    """One image per inference request, as many at once as there are streams.

    On a CPU a convolutional network gains nothing from a larger batch (measured: 1, 4 and 8 within 10% of each
    other), while a graph compiled for one image is compiled once and never padded. Parallelism comes from `streams`,
    each one thread.
    """

    def __init__(self, model: Path, precision: str, streams: int) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}; supported: {', '.join(PRECISIONS)}")
        core = ov.Core()
        graph = core.read_model(model)
        _, *pixel_shape = graph.input("PIXELS").get_partial_shape()
        size = tuple(dimension.get_length() for dimension in pixel_shape)
        graph.reshape({"PIXELS": ov.PartialShape([1, *size])})
        compiled = core.compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": precision,
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": streams,
                # Pinned, every process that infers sits on the same first cores.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._queue = ov.AsyncInferQueue(compiled, streams)
        self._queue.set_callback(_keep)
        # The first inference of each stream allocates and takes ten times as long; nobody should wait for it.
        self.run([np.zeros(size, dtype=np.uint8)] * streams)

    def run(self, images: Sequence[NDArray[np.uint8]]) -> list[Scored]:
        """Outputs for each image, UINT8 (height, width, 3), in order."""
        results: list[Scored | None] = [None] * len(images)
        for index, pixels in enumerate(images):
            self._queue.start_async({"PIXELS": pixels[np.newaxis]}, (results, index))
        self._queue.wait_all()
        return [result for result in results if result is not None]


def _keep(request: Any, slot: tuple[list[Scored | None], int]) -> None:
    results, index = slot
    # Copied: the request's own tensors are overwritten by the next image.
    results[index] = Scored(request.get_tensor("SCORES").data[0].copy(), request.get_tensor("EMBEDDING").data[0].copy())
