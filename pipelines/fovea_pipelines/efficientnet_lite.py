"""Author EfficientNet-Lite0 as an ONNX graph from its trained tensors.

The network is EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946, table 1) without squeeze-and-excitation and with
ReLU6, as TensorFlow's `efficientnet/lite` publishes it. Batch norms are folded into the convolutions before them.
Padding is TensorFlow's SAME: with an even size and stride 2 the extra row and column go to the bottom and right.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]

INPUT_SIZE = 224
CLASSES = 1000
FEATURES = 1280
LOGITS = "logits"

_BATCH_NORM_EPSILON = 1e-3
_OPSET = 17
_IR_VERSION = 8  # the newest that every engine we hand it to reads


@dataclass(frozen=True)
class _Stage:
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def author(tensors: Mapping[str, Array], mean: Sequence[float], std: Sequence[float]) -> onnx.ModelProto:
    """The network as ONNX: PIXELS UINT8 (batch, 224, 224, 3) to SCORES FP32 (batch, 1000) and EMBEDDING (batch, 1280).

    `tensors` are the trained parameters by PyTorch name; `mean` and `std` are per RGB channel in units of 0..255:
    the first nodes compute (pixel - mean) / std. SCORES is the softmax of the node named `logits`; EMBEDDING is the
    features after global average pooling.
    """
    graph = _Graph(tensors)
    x = graph.normalise("PIXELS", mean, std)
    size = INPUT_SIZE
    x, size = graph.convolution(x, "_conv_stem", "_bn0", size, kernel=3, stride=2)
    channels = 32
    for block, (stage, stride) in enumerate(_blocks()):
        x, size = graph.inverted_residual(x, f"_blocks.{block}", stage, stride, channels, size)
        channels = stage.channels
    x, _ = graph.convolution(x, "_conv_head", "_bn1", size, kernel=1, stride=1)
    x = graph.add("GlobalAveragePool", [x], "pooled")
    graph.add("Flatten", [x], "EMBEDDING", axis=1)
    graph.add("Gemm", ["EMBEDDING", graph.constant("_fc.weight"), graph.constant("_fc.bias")], LOGITS, transB=1)
    graph.add("Softmax", [LOGITS], "SCORES", axis=1)
    return graph.to_model()


def _blocks() -> Iterator[tuple[_Stage, int]]:
    for stage in _STAGES:
        for repeat in range(stage.repeats):
            yield stage, stage.stride if repeat == 0 else 1


@dataclass
class _Graph:
    tensors: Mapping[str, Array]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: Array | None = None) -> str:
        self.constants[name] = np.ascontiguousarray(self.tensors[name] if value is None else value, dtype=np.float32)
        return name

    def normalise(self, pixels: str, mean: Sequence[float], std: Sequence[float]) -> str:
        """Transposed before the arithmetic, which takes OpenVINO twenty times as long with the colours innermost, and
        after the cast: TensorRT casts bytes and does nothing else with them (NVIDIA/TensorRT issue 3985)."""
        per_channel = (1, 3, 1, 1)
        mean_name = self.constant("mean", np.reshape(mean, per_channel))
        std_name = self.constant("std", np.reshape(std, per_channel))
        x = self.add("Cast", [pixels], "pixels_f32", to=TensorProto.FLOAT)
        x = self.add("Transpose", [x], "pixels_nchw", perm=[0, 3, 1, 2])
        x = self.add("Sub", [x, mean_name], "centred")
        return self.add("Div", [x, std_name], "normalised")

    def convolution(
        self, x: str, weight: str, norm: str, size: int, *, kernel: int, stride: int, groups: int = 1, relu: bool = True
    ) -> tuple[str, int]:
        """Convolution with its batch norm folded in, SAME padding, and ReLU6; the output's name and size."""
        w, b = self._folded(weight, norm)
        before, after = _same_padding(size, kernel, stride)
        x = self.add(
            "Conv",
            [x, self.constant(f"{weight}.weight", w), self.constant(f"{weight}.bias", b)],
            f"{weight}.conv",
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=groups,
        )
        size = math.ceil(size / stride)
        if not relu:
            return x, size
        low, high = self.constant("zero", np.array(0.0)), self.constant("six", np.array(6.0))
        return self.add("Clip", [x, low, high], f"{weight}.relu6"), size

    def inverted_residual(
        self, x: str, block: str, stage: _Stage, stride: int, channels: int, size: int
    ) -> tuple[str, int]:
        """Expand, convolve each channel by itself, project (MBConv); add the input where the shape is kept."""
        skip, wide = x, channels * stage.expansion
        if stage.expansion != 1:
            x, size = self.convolution(x, f"{block}._expand_conv", f"{block}._bn0", size, kernel=1, stride=1)
        depthwise = f"{block}._depthwise_conv"
        x, size = self.convolution(x, depthwise, f"{block}._bn1", size, kernel=stage.kernel, stride=stride, groups=wide)
        x, size = self.convolution(x, f"{block}._project_conv", f"{block}._bn2", size, kernel=1, stride=1, relu=False)
        if stride == 1 and channels == stage.channels:
            x = self.add("Add", [x, skip], f"{block}.sum")
        return x, size

    def _folded(self, conv: str, norm: str) -> tuple[Array, Array]:
        weight = self.tensors[f"{conv}.weight"].astype(np.float64)
        scale, shift, mean, variance = (
            self.tensors[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = scale / np.sqrt(variance + _BATCH_NORM_EPSILON)
        return weight * factor[:, None, None, None], shift - mean * factor

    def to_model(self) -> onnx.ModelProto:
        pixels = helper.make_tensor_value_info("PIXELS", TensorProto.UINT8, ["batch", INPUT_SIZE, INPUT_SIZE, 3])
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
            for name, width in (("SCORES", CLASSES), ("EMBEDDING", FEATURES))
        ]
        initializers = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        graph = helper.make_graph(self.nodes, "efficientnet_lite0", [pixels], outputs, initializers)
        model = helper.make_model(graph, producer_name="fovea", opset_imports=[helper.make_opsetid("", _OPSET)])
        model.ir_version = _IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return model


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding along one axis: how much before, how much after."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
