"""Small networks of no use, as somebody's exporter would write them, so that adding one takes seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 32
CONTRACT = f"""
[contract]
orientation = "apply"
colour = "RGB"
resize = "short_side"
resize_to = 40
kernel = "bilinear"
antialias = true
crop = "centre"
output_height = {SIZE}
output_width = {SIZE}

[normalisation]
mean = [123.675, 116.28, 103.53]
std = [58.395, 57.12, 57.375]
"""


def classifier(path: Path, classes: int = 5, *, batch: int | str = "n", channels: int = 3, seed: int = 0) -> Path:
    """Convolution, global average, linear layer: float (batch, channels, 32, 32) to logits (batch, classes)."""
    random = np.random.default_rng(seed)
    weights = {
        "kernel": random.normal(0, 0.3, (8, channels, 3, 3)).astype(np.float32),
        "weight": random.normal(0, 2, (classes, 8)).astype(np.float32),
        "bias": np.zeros(classes, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["mapped"], strides=[2, 2]),
        helper.make_node("Relu", ["mapped"], ["rectified"]),
        helper.make_node("GlobalAveragePool", ["rectified"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "weight", "bias"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, channels, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, classes])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path
