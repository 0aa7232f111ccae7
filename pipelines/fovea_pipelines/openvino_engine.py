"""Run a model's ONNX graph on the CPU with OpenVINO."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from fovea_pipelines import precision as precisions
from fovea_pipelines.outputs import Outputs

__all__ = ["OpenVinoEngine", "Outputs"]

# Two images share one reading of the weights: 8 to 15% less CPU time an image in 8-bit integers, 5 to 10% in bfloat16.
# Four gain little more, and floats of 32 bits, whose activations fill the caches alone, gain nothing.
_PAIRED = ("int8", "bf16")

_Slot = tuple[list[Outputs | None], int]  # all results, and the place of the first of this inference


class OpenVinoEngine:
    """Images one by one or in pairs, as many inferences of either at once as there are `streams`, each one thread.

    The graph is compiled for either number and never padded.
    """

    def __init__(self, model: Path, precision: str, streams: int) -> None:
        if precision not in precisions.PRECISIONS:
            raise ValueError(f"precision is {precision!r}; supported: {', '.join(precisions.PRECISIONS)}")
        core = ov.Core()
        graph = core.read_model(model)
        _, *pixel_shape = graph.input("PIXELS").get_partial_shape()
        size = self._size = tuple(dimension.get_length() for dimension in pixel_shape)
        self.classifies = any("SCORES" in output.get_names() for output in graph.outputs)
        self._streams = streams
        self._queues: dict[int, ov.AsyncInferQueue] = {}
        for images in (1, 2) if precision in _PAIRED else (1,):
            graph.reshape({"PIXELS": ov.PartialShape([images, *size])})
            queue = self._queues[images] = ov.AsyncInferQueue(_compiled(core, graph, precision, streams), streams)
            queue.set_callback(self._keep)
        for images in self._queues:
            # The first inference of each stream allocates and takes ten times as long; nobody should wait for it.
            self.run([np.zeros(size, dtype=np.uint8)] * images * streams)

    def run(self, images: Sequence[NDArray[np.uint8]]) -> list[Outputs]:
        """Outputs for each image, UINT8 (height, width, 3), in order. Raises ValueError for one of another size."""
        # Before anything is started: a request whose input OpenVINO refuses is not given back to its queue.
        if wrong := next((image.shape for image in images if image.shape != self._size), None):
            raise ValueError(f"the network takes pixels of shape {self._size}, not {wrong}")
        results: list[Outputs | None] = [None] * len(images)
        # Shared, not copied, which takes a tenth off an inference: they have to be in one piece, and kept till the end.
        kept = []
        with contextlib.ExitStack() as waiting:
            for queue in self._queues.values():
                waiting.callback(queue.wait_all)
            for first, count in _pieces(len(images), self._streams, max(self._queues)):
                some = images[first : first + count]
                kept.append(np.stack(some) if count > 1 else np.ascontiguousarray(some[0])[np.newaxis])
                self._queues[count].start_async({"PIXELS": kept[-1]}, (results, first), share_inputs=True)
        return [result for result in results if result is not None]

    def _keep(self, request: Any, slot: _Slot) -> None:
        results, first = slot
        # Copied: the request's own tensors are overwritten by the next image.
        embeddings = request.get_tensor("EMBEDDING").data.copy()
        scores = request.get_tensor("SCORES").data.copy() if self.classifies else [None] * len(embeddings)
        results[first : first + len(embeddings)] = map(Outputs, scores, embeddings)


def _compiled(core: ov.Core, graph: ov.Model, precision: str, streams: int) -> ov.CompiledModel:
    return core.compile_model(
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


def _pieces(images: int, streams: int, most: int) -> Iterator[tuple[int, int]]:
    """The images of each inference, as (first, count), larger ones first; as many for each stream as for any other."""
    share = -(-images // streams)
    paired = min(images, share // most * most * streams) if most > 1 else 0
    paired -= paired % most
    for first in range(0, paired, most):
        yield first, most
    for first in range(paired, images):
        yield first, 1
