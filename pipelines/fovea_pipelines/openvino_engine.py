"""Run a model's ONNX graph on the CPU with OpenVINO."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovea_pipelines import cpu
from fovea_pipelines import precision as precisions
from fovea_pipelines.compiled_networks import CompiledNetworks, Trial
from fovea_pipelines.one_batch import one_batch
from fovea_pipelines.outputs import Outputs
from fovea_pipelines.quiet_openvino import ov

__all__ = ["OpenVinoEngine", "Outputs"]

# Two images share one reading of the weights: 8 to 15% less CPU time an image in 8-bit integers, 5 to 10% in bfloat16.
# Four gain little more, and floats of 32 bits, whose activations fill the caches alone, gain nothing.
_PAIRED = ("int8", "bf16")

_PREPARED = 1  # how a graph is prepared before it is compiled; another way is another number

_Slot = tuple[list[Outputs | None], int]  # all results, and the place of the first of this inference


class OpenVinoEngine:
    """Images one by one or in pairs, as many inferences of either at once as there are `streams`, each one thread.

    The graph is compiled for either number, unless `kept` has that from another time, and never padded.
    """

    def __init__(self, model: Path, precision: str, streams: int, kept: CompiledNetworks | None = None) -> None:
        if precision not in precisions.PRECISIONS:
            raise ValueError(f"precision is {precision!r}; supported: {', '.join(precisions.PRECISIONS)}")
        graph = _Graph(model, precision, streams, kept)
        networks = {images: graph.network(images) for images in ((1, 2) if precision in _PAIRED else (1,))}
        size = self._size = tuple(networks[1].input("PIXELS").shape)[1:]
        self.classifies = any("SCORES" in output.get_names() for output in networks[1].outputs)
        self._streams = streams
        self._queues = {images: ov.AsyncInferQueue(network, streams) for images, network in networks.items()}
        for queue in self._queues.values():
            queue.set_callback(self._keep)
        for images in self._queues:
            # The first inference of each stream allocates and takes ten times as long; nobody should wait for it.
            self.run([np.zeros(size, dtype=np.uint8)] * images * streams)
        for trial in graph.trials:
            trial.passed()

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
                kept.append(one_batch(some))
                self._queues[count].start_async({"PIXELS": kept[-1]}, (results, first), share_inputs=True)
        return [result for result in results if result is not None]

    def _keep(self, request: Any, slot: _Slot) -> None:
        results, first = slot
        # Copied: the request's own tensors are overwritten by the next image.
        embeddings = request.get_tensor("EMBEDDING").data.copy()
        scores = request.get_tensor("SCORES").data.copy() if self.classifies else [None] * len(embeddings)
        results[first : first + len(embeddings)] = map(Outputs, scores, embeddings)


class _Graph:
    """An ONNX graph, to be compiled for this machine's CPU. `trials` are of the networks that were kept and are used
    now; they end once each has computed something."""

    def __init__(self, path: Path, precision: str, streams: int, kept: CompiledNetworks | None) -> None:
        self.trials: list[Trial] = []
        self._content = path.read_bytes()
        self._kept = kept
        self._core = ov.Core()
        self._options = {
            # Of an 8-bit graph, what is left in floats.
            "INFERENCE_PRECISION_HINT": precisions.of_floats(precision),
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams,
            # Pinned, every process that infers sits on the same first cores.
            "ENABLE_CPU_PINNING": False,
        }

    def network(self, images: int) -> ov.CompiledModel:
        """Compiled for so many images at once: a fifth of the time where it was kept."""
        if self._kept is None:
            return self._compiled(images)
        key = hashlib.blake2b(f"{images} {self._circumstances}".encode(), digest_size=20).hexdigest()
        if trial := self._kept.find(key):
            try:
                network = self._imported(trial.blob)
            except Exception:  # whatever it is: compiling is the way without
                trial.failed()
            else:
                self.trials.append(trial)
                return network
        network = self._compiled(images)
        with contextlib.suppress(RuntimeError, MemoryError):
            blob = network.export_model().getvalue()
            if self._says_the_same(network, self._imported(blob)):
                self._kept.write(key, blob)
        return network

    def _compiled(self, images: int) -> ov.CompiledModel:
        graph = self._parsed
        graph.reshape({"PIXELS": ov.PartialShape([images, *list(graph.input("PIXELS").partial_shape)[1:]])})
        return self._core.compile_model(graph, "CPU", self._options)

    def _imported(self, blob: bytes) -> ov.CompiledModel:
        return self._core.import_model(io.BytesIO(blob), "CPU", self._options)

    def _says_the_same(self, network: ov.CompiledModel, again: ov.CompiledModel) -> bool:
        """Bit for bit, of pixels that nobody chose."""
        pixels = np.random.default_rng(0).integers(0, 256, tuple(network.input("PIXELS").shape), dtype=np.uint8)
        one, other = network({"PIXELS": pixels}), again({"PIXELS": pixels})
        return all(one[place].tobytes() == other[place].tobytes() for place in range(len(network.outputs)))

    @functools.cached_property
    def _parsed(self) -> ov.Model:
        return self._core.read_model(self._content)

    @functools.cached_property
    def _circumstances(self) -> str:
        """All that what is compiled depends on."""
        names = "FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES"
        properties = [self._core.get_property("CPU", name) for name in names]
        flags = sorted(cpu.flags())
        graph = hashlib.blake2b(self._content).hexdigest()
        return f"{_PREPARED} {ov.get_version()} {properties} {flags} {self._options} {graph}"


def _pieces(images: int, streams: int, most: int) -> Iterator[tuple[int, int]]:
    """The images of each inference, as (first, count), larger ones first; as many for each stream as for any other."""
    share = -(-images // streams)
    paired = min(images, share // most * most * streams) if most > 1 else 0
    paired -= paired % most
    for first in range(0, paired, most):
        yield first, most
    for first in range(paired, images):
        yield first, 1
