"""Find where a network has its scores and its embedding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from fovea_pipelines.adding.graphs.entry import Tensor
from fovea_pipelines.adding.graphs.trace import Trace
from fovea_pipelines.errors import BadNetwork

_CANDIDATES = 8
_SAME_NUMBERS = frozenset({"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
_AVERAGES = frozenset({"AveragePool", "GlobalAveragePool", "ReduceMean"})
# What may lie between the last linear layer and the logits.
_AFTER_LINEAR = (
    _SAME_NUMBERS
    | _AVERAGES
    | frozenset(
        {"Add", "BatchNormalization", "Clip", "DequantizeLinear", "Div", "Mul", "QuantizeLinear", "Relu", "Sub"}
    )
)


@dataclass(frozen=True)
class Row:
    """A tensor that becomes one row of `size` floats an image; `averaged` first, over its height and width."""

    tensor: Tensor
    size: int
    averaged: bool = False


def logits(trace: Trace, besides: str | None) -> Row:
    """What the softmax that makes the scores is taken of: an output, or what went into the network's own softmax.

    `besides` is the tensor named as the embedding, which is no score where it is an output too. Raises BadNetwork where
    the output is not one score a class, or several might be.
    """
    output = _output([each for each in trace.outputs if each.name != besides] or trace.outputs)
    complaint = f"the output {output} is not one score a class"
    row = _row(trace, output, complaint)
    name = output.name
    while (node := trace.producers.get(name)) and node.op_type in _SAME_NUMBERS:
        name = node.input[0]
    if node and node.op_type in ("Sigmoid", "HardSigmoid"):
        raise BadNetwork(f"the output {output} comes from a {node.op_type}; networks of several labels are not served")
    if node and node.op_type in ("Softmax", "LogSoftmax"):
        _require_over_classes(trace, node, row.size)
        row = _row(trace, trace.tensor(node.input[0]), complaint)
    if row.size < 2:
        raise BadNetwork(f"the output {output} is a single score; a classifier has two classes or more")
    return row


def embedding(trace: Trace, scores: Row | None, name: str | None) -> Row:
    """The tensor called `name`; else what goes into the last linear layer before the scores; else the only output.

    Where that layer is a 1x1 convolution whose results are averaged over the image (SqueezeNet, Iandola et al. 2016,
    arXiv:1602.07360, figure 2), the embedding is the average of what goes into it. Raises BadNetwork where there is no
    such tensor, or it is not one row of numbers an image.
    """
    found = _before_last_linear(trace, scores) if scores else None
    if found and name in (None, found.tensor.name):
        return found
    if name is not None:
        return _named(trace, name)
    if scores is not None:
        raise BadNetwork(
            f"no embedding was found: {scores.tensor.name} does not come from a Gemm, MatMul or 1x1 Conv with constant "
            "weights",
            hint=f"{_name_it(trace)}; a network without classes is added with --embedding-only",
        )
    output = _output(trace.outputs)
    return _row(trace, output, f"the output {output} is not one row of numbers an image", hint=_name_it(trace))


def _output(outputs: list[Tensor]) -> Tensor:
    """The only output, or the only one of rank 2."""
    chosen = outputs if len(outputs) == 1 else [each for each in outputs if each.shape and len(each.shape) == 2]
    if len(chosen) != 1:
        raise BadNetwork(
            f"the network has {len(outputs)} outputs: {'; '.join(map(str, outputs))}",
            hint="export it with one output, or name the one that is the embedding with --embedding",
        )
    return chosen[0]


def _row(trace: Trace, tensor: Tensor, complaint: str, hint: str | None = None) -> Row:
    if tensor.name not in trace.moving:
        raise BadNetwork(f"{tensor} does not depend on the image", hint)
    if tensor.row is None:
        raise BadNetwork(complaint, hint)
    return Row(tensor, tensor.row)


def _named(trace: Trace, name: str) -> Row:
    tensor, hint = trace.tensor(name), _name_it(trace)
    if name not in trace.moving and name not in trace.tensors:
        raise BadNetwork(f"the network has no tensor called {name}", hint)
    return _row(trace, tensor, f"{tensor} is not one row of numbers an image, so it cannot be the embedding", hint)


def _name_it(trace: Trace) -> str:
    rows = [name for name in trace.moving if trace.tensor(name).row]
    return f"name it with --embedding; candidates: {', '.join(rows[-_CANDIDATES:]) or 'none'}"


def _require_over_classes(trace: Trace, node: onnx.NodeProto, classes: int) -> None:
    """Raise unless each image's scores sum to 1. Before opset 13 a softmax ran over all axes from its own on."""
    shape = trace.tensor(node.input[0]).shape or ()
    axis = _number(node, "axis", -1 if trace.opset >= 13 else 1) % max(len(shape), 1)
    summed = shape[axis : axis + 1] if trace.opset >= 13 else shape[axis:]
    if axis == 0 or math.prod(size for size in summed if isinstance(size, int)) != classes:
        raise BadNetwork(f"the network's {node.op_type} runs over axis {axis} of {shape}, not over its classes")


def _before_last_linear(trace: Trace, scores: Row) -> Row | None:
    averaged = False
    for node in _backwards(trace, scores.tensor.name):
        if node.op_type in ("Gemm", "MatMul", "Conv"):
            return _data(trace, node, averaged)
        if node.op_type not in _AFTER_LINEAR:
            return None
        averaged = averaged or node.op_type in _AVERAGES
    return None


def _backwards(trace: Trace, name: str) -> Iterator[onnx.NodeProto]:
    """The nodes that made a tensor, last first, as long as each has one input that depends on the image."""
    while node := trace.producers.get(name):
        inputs = trace.data_inputs(node)
        if len(inputs) != 1:
            return
        yield node
        name = inputs[0]


def _data(trace: Trace, node: onnx.NodeProto, averaged: bool) -> Row | None:
    """What goes into a linear layer, if that is one row an image, or is averaged to one later."""
    tensor = trace.tensor(node.input[0])
    kernel = trace.tensor(node.input[1]).shape or ()
    if node.input[0] not in trace.moving:
        return None
    if node.op_type == "Conv" and (kernel[2:] != (1, 1) or _number(node, "group", 1) != 1):
        return None
    if tensor.row is not None:
        return Row(tensor, tensor.row)
    if node.op_type == "Conv" and averaged and tensor.shape and isinstance(tensor.shape[1], int):
        return Row(tensor, tensor.shape[1], averaged=True)
    return None


def _number(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), default)
