"""Write a network's 8-bit form: QuantizeLinear and DequantizeLinear around what was measured (QDQ).

Activations: one scale a tensor, asymmetric. Weights: one scale an output channel, symmetric. What comes before the
first weights is left in floats, and so are those: pixels are exact there, and OpenVINO computes three channels in
floats anyhow. Every engine fuses the pairs into integer operators (ONNX operators QuantizeLinear-13 and
DequantizeLinear-13; Jacob et al. 2018, arXiv:1712.05877).
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from fovea_pipelines.errors import BadNetwork, BadPackage
from fovea_pipelines.quantisation.ranges import Ranges

_OLDEST_OPSET = 13  # the first with DequantizeLinear along an axis
_WEIGHED = ("Conv", "Gemm")  # operators whose second input is a weight with output channels first


def check_opset(model: onnx.ModelProto) -> None:
    """Raise BadNetwork where the graph is too old for a scale an output channel."""
    version = next((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), 0)
    if version < _OLDEST_OPSET:
        raise BadNetwork(
            f"the network is of opset {version}; an 8-bit form takes {_OLDEST_OPSET} or more",
            "export it with a newer opset, and add it as a new version",
        )


def quantised(model: onnx.ModelProto, ranges: Ranges) -> onnx.ModelProto:
    """The 8-bit form of `model`, which is not changed.

    Raises BadPackage where the ranges are of another network, and BadNetwork as `check_opset`.
    """
    check_opset(model)
    network = onnx.ModelProto()
    network.CopyFrom(model)
    made = {name for node in network.graph.node for name in node.output}
    if missing := sorted(set(ranges.tensors) - made):
        raise BadPackage(f"the ranges are of another network: it has no tensor {missing[0]}")
    writer = _Writer(network, ranges)
    nodes = list(network.graph.node)
    del network.graph.node[:]
    for node in nodes:
        writer.add(node)
    writer.finish()
    onnx.checker.check_model(network, full_check=True)
    return network


class _Writer:
    def __init__(self, network: onnx.ModelProto, ranges: Ranges) -> None:
        self._graph = network.graph
        self._ranges = ranges
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in network.graph.initializer}
        self._dequantised: dict[str, str] = {}
        self._weighed: set[str] = set()  # what comes after weights

    def add(self, node: onnx.NodeProto) -> None:
        """The node, reading what was quantised, and after it the pair around each output that is."""
        if node.op_type in _WEIGHED or not self._weighed.isdisjoint(node.input):
            self._weighed.update(node.output)
        reads_integers = any(name in self._dequantised for name in node.input)
        for place, name in enumerate(node.input):
            node.input[place] = self._dequantised.get(name, name)
        if reads_integers and node.op_type in _WEIGHED and _axis(node) is not None:
            node.input[1] = self._weight(node.input[1])
        self._graph.node.append(node)
        for name in node.output:
            if name in self._ranges.tensors and name in self._weighed:
                self._dequantised[name] = self._pair(name)

    def finish(self) -> None:
        """Constants: corrected biases, integer weights, scales; without those that nothing reads any more."""
        self._constants.update(self._ranges.biases)
        read = {name for node in self._graph.node for name in node.input}
        del self._graph.initializer[:]
        self._graph.initializer.extend(
            numpy_helper.from_array(np.ascontiguousarray(value), name)
            for name, value in self._constants.items()
            if name in read
        )

    def _pair(self, name: str) -> str:
        least, greatest = (min(self._ranges.tensors[name][0], 0.0), max(self._ranges.tensors[name][1], 0.0))
        scale = np.float32((greatest - least) / 255)
        zero = np.int8(round(-128 - least / float(scale)))
        return self._quantise(name, scale, np.array(zero, np.int8))

    def _quantise(self, name: str, scale: np.float32, zero: NDArray[np.int8]) -> str:
        quantisation = self._scale(name, np.array(scale, np.float32), zero)
        integers, floats = f"{name}.int8", f"{name}.dequantised"
        self._graph.node.append(helper.make_node("QuantizeLinear", [name, *quantisation], [integers], name=integers))
        self._graph.node.append(helper.make_node("DequantizeLinear", [integers, *quantisation], [floats], name=floats))
        return floats

    def _weight(self, name: str) -> str:
        weight = self._constants[name]
        scale = np.abs(weight).reshape(len(weight), -1).max(axis=1).astype(np.float32) / np.float32(127)
        scale[scale == 0] = 1
        per_channel = scale.reshape(-1, *[1] * (weight.ndim - 1))
        integers, floats = f"{name}.int8", f"{name}.dequantised"
        self._constants[integers] = np.clip(np.rint(weight / per_channel), -127, 127).astype(np.int8)
        quantisation = self._scale(name, scale, np.zeros(len(weight), np.int8))
        node = helper.make_node("DequantizeLinear", [integers, *quantisation], [floats], name=floats, axis=0)
        self._graph.node.append(node)
        return floats

    def _scale(self, name: str, scale: NDArray[np.float32], zero: NDArray[np.int8]) -> list[str]:
        names = [f"{name}.scale", f"{name}.zero_point"]
        self._constants.update(zip(names, (scale, zero), strict=True))
        return names


def _axis(node: onnx.NodeProto) -> int | None:
    """0 where the weight's output channels come first; a Gemm that does not transpose its weight has them last."""
    if node.op_type == "Conv":
        return 0
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if transposed else None
