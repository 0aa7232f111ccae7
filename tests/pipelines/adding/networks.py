"""Small networks as people export them, written in ONNX's own text format, with random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Array = NDArray[Any]

HEIGHT, WIDTH = 8, 10
FEATURES, CLASSES = 6, 5
MEAN, STD = (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)

IMAGES = f"float[batch,3,{HEIGHT},{WIDTH}] x"
LOGITS = f"float[batch,{CLASSES}] y"
BODY = "a = Relu(conv) p = GlobalAveragePool(a) f = Flatten(p)"
CONV = f"conv = Conv<kernel_shape=[3,3]>(x, w) {BODY}"
GEMM = "y = Gemm<transB=1>(f, v, b)"

_random = np.random.default_rng(3)
WEIGHTS = {
    "w": _random.normal(size=(FEATURES, 3, 3, 3)),
    "v": _random.normal(size=(CLASSES, FEATURES)),
    "b": _random.normal(size=CLASSES),
}


def network(
    nodes: str,
    *,
    inputs: str = IMAGES,
    outputs: str = LOGITS,
    opset: int = 17,
    imports: str = "",
    functions: str = "",
    dtype: str = "float32",
    **constants: Array,
) -> onnx.ModelProto:
    """A network of these nodes; `w`, `v` and `b` are random weights unless given."""
    header = f'<ir_version: 8, opset_import: ["" : {opset}{imports}]>'
    model = onnx.parser.parse_model(f"{header} net ({inputs}) => ({outputs}) {{ {nodes} }} {functions}")
    for name, value in (WEIGHTS | constants).items():
        array = value.astype(dtype) if value.dtype.kind == "f" else value
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def classifier(**options: Any) -> onnx.ModelProto:
    """Convolution, ReLU, average over the image, linear layer."""
    return network(f"{CONV} {GEMM}", **options)


def images(count: int) -> Array:
    return np.random.default_rng(4).integers(0, 256, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)


def normalised(pixels: Array, dtype: str = "float32") -> Array:
    """What training code gives a network: NCHW."""
    return ((pixels - np.array(MEAN)) / np.array(STD)).transpose(0, 3, 1, 2).astype(dtype)


def softmax(logits: Array) -> Array:
    powers = np.exp(logits.astype(np.float64))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
