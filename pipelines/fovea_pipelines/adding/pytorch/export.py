"""Export a PyTorch network to ONNX: any batch size, weights inside, and the same bytes for the same weights."""

from __future__ import annotations

from typing import Any

import onnx

from fovea_pipelines.adding.pytorch.libraries import library, torch
from fovea_pipelines.errors import BadNetwork

_OPSET = 18  # the exporter's own; any other is a conversion
_MOST_BYTES = 2**31 - 2**24  # protobuf's limit, less what the graph itself takes


def export(network: Any, height: int, width: int, what: str) -> onnx.ModelProto:
    """`network`, a torch.nn.Module in evaluation mode, as "image" FP32 (batch, 3, height, width) to "output".

    By the exporter that traces with `torch.export`: its graph of a Swin has an eighth of the nodes of the older one's.
    Raises BadNetwork where it cannot, and MissingArtefact where what it needs is not installed.
    """
    library("onnxscript")  # the exporter's own words for its absence name no remedy of ours
    _check_size(network, what)
    # Two images: an example of one would be taken for a batch that is always one.
    example = torch().zeros(2, 3, height, width)
    try:
        with torch().inference_mode():
            answer = network(example)
        program = torch().onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=_OPSET,
            input_names=["image"],
            output_names=["output"],
            dynamic_shapes=({0: torch().export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )
        model: onnx.ModelProto = program.model_proto
    except Exception as error:  # the exporter raises whatever its many parts raise
        raise BadNetwork(f"{what} cannot be exported to ONNX: {_first_line(error)}") from error
    if not isinstance(answer, torch().Tensor) or len(model.graph.output) != 1:
        raise BadNetwork(f"{what} gives {len(model.graph.output)} outputs; one is served")
    _forget_where_it_was_made(model)
    return model


def _check_size(network: Any, what: str) -> None:
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if size > _MOST_BYTES:
        raise BadNetwork(f"{what} has {size:,} bytes of weights; an ONNX file holds {_MOST_BYTES:,}")


def _forget_where_it_was_made(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes for debugging: stack traces with the paths of this machine among them."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    for function in model.functions:
        del function.metadata_props[:]
        for node in function.node:
            del node.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]


def _first_line(error: Exception) -> str:
    # The exporter's own message is a page of advice; what went wrong is what it was caused by.
    cause = error.__cause__ or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(cause).__name__
