"""The output MODEL_SPAN that Triton's configuration of a TensorRT plan declares, and that no network has by itself."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

SPAN = "MODEL_SPAN"


def with_span(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with one more output: MODEL_SPAN INT64 (batch, 2), zeros.

    TensorRT cannot tell its own time; the gateway knows zeros as that. What the graph has already stays as it is.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    if any(output.name == SPAN for output in graph.output):
        return changed
    pixels = graph.input[0]
    batch = pixels.type.tensor_type.shape.dim[0]
    zero = helper.make_tensor("span_value", TensorProto.INT64, [1], [0])
    graph.initializer.append(helper.make_tensor("span_first", TensorProto.INT64, [1], [0]))
    graph.initializer.append(helper.make_tensor("span_two", TensorProto.INT64, [1], [2]))
    graph.node.extend(
        (
            helper.make_node("Shape", [pixels.name], ["span_pixels"], "span_pixels"),
            helper.make_node("Gather", ["span_pixels", "span_first"], ["span_images"], "span_images"),
            helper.make_node("Concat", ["span_images", "span_two"], ["span_shape"], "span_shape", axis=0),
            helper.make_node("ConstantOfShape", ["span_shape"], [SPAN], SPAN, value=zero),
        )
    )
    size = batch.dim_param or batch.dim_value
    graph.output.append(helper.make_tensor_value_info(SPAN, TensorProto.INT64, [size, 2]))
    onnx.checker.check_model(changed, full_check=True)
    return changed
