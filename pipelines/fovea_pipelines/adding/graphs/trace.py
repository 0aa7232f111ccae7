"""Follow one image through an ONNX network: which node makes what, of which shape, and what does not depend on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import onnx
from onnx import TensorProto

from fovea_pipelines.adding.graphs.entry import Input, Tensor
from fovea_pipelines.errors import BadNetwork
from fovea_pipelines.quiet_openvino import ov

_LARGE = 1024  # bytes of a constant; no shape or axis takes more


@dataclass(frozen=True)
class Trace:
    """A network's graph as one image goes through it.

    `tensors` are those whose type is known, by name, with their shapes for one image; `producers` the node that
    computes each; `moving` the names of those that depend on the image, in the order they are computed.
    """

    network: onnx.ModelProto
    tensors: dict[str, Tensor]
    producers: dict[str, onnx.NodeProto]
    moving: dict[str, None]

    @classmethod
    def through(cls, network: onnx.ModelProto, entry: Input, height: int, width: int) -> Trace:
        """Raises BadNetwork where the shapes of the network's tensors contradict each other."""
        moving: dict[str, None] = {entry.tensor.name: None}
        for node in network.graph.node:
            if any(name in moving for name in names_needed(node)):
                moving.update(dict.fromkeys(filter(None, node.output)))
        producers = {name: node for node in network.graph.node for name in node.output if name}
        return cls(network, _tensors(network, entry.one(height, width)), producers, moving)

    @property
    def opset(self) -> int:
        return int(self.network.opset_import[0].version)

    @property
    def outputs(self) -> list[Tensor]:
        return [self.tensor(output.name) for output in self.network.graph.output]

    def tensor(self, name: str) -> Tensor:
        return self.tensors.get(name, Tensor(name, TensorProto.UNDEFINED, None))

    def data_inputs(self, node: onnx.NodeProto) -> list[str]:
        """The inputs of a node that depend on the image, without the shapes and axes that some compute from it."""
        names = (name for name in node.input if name in self.moving)
        return [name for name in names if self.tensor(name).element != TensorProto.INT64]


def names_needed(node: onnx.NodeProto) -> Iterator[str]:
    """The tensors a node takes, also from within its subgraphs (there: every name, some of which are their own)."""
    yield from filter(None, node.input)
    for graph in subgraphs(node):
        for inner in graph.node:
            yield from names_needed(inner)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        yield from [attribute.g] if attribute.HasField("g") else attribute.graphs


def _tensors(network: onnx.ModelProto, image: onnx.ValueInfoProto) -> dict[str, Tensor]:
    """Every tensor of the network for one image, by name."""
    tensors = _inferred(network, image)
    is_open = [name for name, tensor in tensors.items() if tensor.sizes is None]
    # ONNX's inference does not follow sizes that a network computes, as for the Pad in a Swin; OpenVINO's does.
    shapes = _in_openvino(network, image) if is_open else {}
    return tensors | {name: replace(tensors[name], shape=shapes[name]) for name in is_open if name in shapes}


def _inferred(network: onnx.ModelProto, image: onnx.ValueInfoProto) -> dict[str, Tensor]:
    try:
        graph = onnx.shape_inference.infer_shapes(_draft(network, image), strict_mode=True, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise BadNetwork(f"the network does not fit {Tensor.of(image)}: {' '.join(str(error).split())}") from error
    found = [Tensor(each.name, each.data_type, tuple(each.dims)) for each in graph.initializer]
    found.extend(map(Tensor.of, (*graph.input, *graph.value_info, *graph.output)))
    return {tensor.name: tensor for tensor in found}


def _draft(network: onnx.ModelProto, image: onnx.ValueInfoProto) -> onnx.ModelProto:
    """The network for one image: without its large constants, and without the shapes that its exporter wrote down."""
    draft = onnx.ModelProto(ir_version=network.ir_version, opset_import=network.opset_import)
    graph = draft.graph
    graph.node.extend(network.graph.node)
    graph.sparse_initializer.extend(network.graph.sparse_initializer)
    graph.input.append(image)
    graph.output.extend(network.graph.output)
    for output in graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    for each in network.graph.initializer:
        empty = onnx.TensorProto(name=each.name, data_type=each.data_type, dims=each.dims)
        graph.initializer.append(empty if each.ByteSize() > _LARGE else each)
    return draft


def _in_openvino(network: onnx.ModelProto, image: onnx.ValueInfoProto) -> dict[str, tuple[int, ...]]:
    try:
        model = ov.Core().read_model(network.SerializeToString())
        model.reshape({image.name: ov.PartialShape([size.dim_value for size in image.type.tensor_type.shape.dim])})
    except RuntimeError:
        return {}  # what stays open is refused by name, where it matters
    outputs = [output for node in model.get_ordered_ops() for output in node.outputs()]
    static = [output for output in outputs if output.get_partial_shape().is_static]
    return {name: tuple(output.get_shape()) for output in static for name in output.get_names()}
