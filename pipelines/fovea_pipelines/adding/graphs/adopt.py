"""Turn a network that somebody exported to ONNX into the graph that is served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fovea_pipelines.adding.graphs import head, soundness
from fovea_pipelines.adding.graphs.cut import cut
from fovea_pipelines.adding.graphs.entry import Input
from fovea_pipelines.adding.graphs.file import load
from fovea_pipelines.adding.graphs.head import Row
from fovea_pipelines.adding.graphs.trace import Trace
from fovea_pipelines.contract_sources.source import Triple
from fovea_pipelines.efficientnet_lite import LOGITS

__all__ = ["Adopted", "adopt", "input_size", "load"]

_PREFIX = "network."
_NEWEST_IR = 10  # what every engine we hand it to reads
_OLDEST_IR = 4  # before, every constant had to be an input too


@dataclass(frozen=True)
class Adopted:
    """A graph as it is served: `model` is the serialised ONNX, `features` the length of EMBEDDING.

    `classes` is the length of SCORES, None for a network that only embeds. `embedding` is the name that the tensor
    behind EMBEDDING has in the network it came from.
    """

    model: bytes
    classes: int | None
    features: int
    embedding: str


def input_size(network: onnx.ModelProto) -> tuple[int, int] | None:
    """The (height, width) in pixels that a network asks for; None where it leaves either open.

    Raises BadNetwork for a network that does not take one RGB image in floats.
    """
    entry = Input.of(network)
    if isinstance(entry.height, int) and isinstance(entry.width, int):
        return entry.height, entry.width
    return None


def adopt(
    network: onnx.ModelProto,
    *,
    height: int,
    width: int,
    mean: Triple,
    std: Triple,
    embedding: str | None = None,
    embedding_only: bool = False,
) -> Adopted:
    """The network as PIXELS UINT8 (batch, height, width, 3) to SCORES FP32 (batch, classes) and EMBEDDING (batch,
    features); with `embedding_only` to EMBEDDING alone.

    `mean` and `std` are per RGB channel in units of 0..255: the first nodes compute (pixel - mean) / std. SCORES is the
    softmax of the tensor `logits`. EMBEDDING is the tensor of the network called `embedding`; by default what goes into
    the last linear layer. The network is not changed. Raises BadNetwork for one that cannot be served as it is.
    """
    network = soundness.sound(network)
    entry = Input.of(network)
    entry.require(height, width)
    trace = Trace.through(network, entry, height, width)
    logits = None if embedding_only else head.logits(trace, besides=embedding)
    vector = head.embedding(trace, logits, embedding)
    wanted = [row.tensor.name for row in (logits, vector) if row]
    cut(network.graph, wanted, _PREFIX)
    served = _Served(network.graph)
    served.take_pixels(entry, height, width, mean, std)
    if logits:
        served.add_row(logits, LOGITS)
        served.add("Softmax", LOGITS, "SCORES", axis=1)
        served.give("SCORES", logits.size)
    served.add_row(vector, "EMBEDDING")
    served.give("EMBEDDING", vector.size)
    content = soundness.checked(_model(network), full=True)
    return Adopted(content, logits.size if logits else None, vector.size, vector.tensor.name)


class _Served:
    """The graph that is served, as it grows around a part of the network."""

    def __init__(self, part: onnx.GraphProto) -> None:
        self._graph = part

    def add(self, operator: str, inputs: str | list[str], output: str, **attributes: Any) -> str:
        inputs = [inputs] if isinstance(inputs, str) else inputs
        self._graph.node.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def take_pixels(self, entry: Input, height: int, width: int, mean: Triple, std: Triple) -> None:
        """Normalise PIXELS into what the network takes, in the order of efficientnet_lite.py and for its reasons."""
        part = list(self._graph.node)
        del self._graph.node[:]
        for name, values in (("mean", mean), ("std", std)):
            constant = np.reshape(values, (1, 3, 1, 1) if entry.channels_first else (1, 1, 1, 3)).astype(np.float32)
            self._graph.initializer.append(numpy_helper.from_array(constant, name))
        x = self.add("Cast", "PIXELS", "pixels_f32", to=TensorProto.FLOAT)
        if entry.channels_first:
            x = self.add("Transpose", x, "pixels_nchw", perm=[0, 3, 1, 2])
        x = self.add("Sub", [x, "mean"], "centred")
        x = self.add("Div", [x, "std"], "normalised")
        # Engines drop a cast that changes nothing; here it also leads from our names to the network's, and back below.
        self.add("Cast", x, _PREFIX + entry.tensor.name, to=entry.tensor.element)
        self._graph.node.extend(part)
        pixels = helper.make_tensor_value_info("PIXELS", TensorProto.UINT8, ["batch", height, width, 3])
        self._graph.input.append(pixels)

    def add_row(self, row: Row, output: str) -> None:
        """FP32 (batch, row.size) from a tensor of the network."""
        x = self.add("Cast", _PREFIX + row.tensor.name, f"{output}_f32", to=TensorProto.FLOAT)
        if row.averaged:
            x = self.add("GlobalAveragePool", x, f"{output}_averaged")
        self.add("Flatten", x, output, axis=1)

    def give(self, output: str, width: int) -> None:
        self._graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", width]))


def _model(network: onnx.ModelProto) -> onnx.ModelProto:
    """The network's graph and opset, and nothing else of it: nothing is converted."""
    model = onnx.ModelProto(opset_import=network.opset_import, producer_name="fovea")
    model.ir_version = max(_OLDEST_IR, min(network.ir_version, _NEWEST_IR))
    model.graph.CopyFrom(network.graph)
    return model
