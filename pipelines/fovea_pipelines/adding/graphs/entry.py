"""What an ONNX network asks for: one image, in floats, with its channels first or last."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from fovea_pipelines.errors import BadNetwork

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


@dataclass(frozen=True)
class Tensor:
    """A tensor's name, element type and shape: a number for a fixed dimension, a name or "?" for an open one.

    `shape` is None where not even the rank is known.
    """

    name: str
    element: int
    shape: tuple[int | str, ...] | None

    @classmethod
    def of(cls, value: onnx.ValueInfoProto) -> Tensor:
        kind = value.type.tensor_type
        if not kind.HasField("shape"):
            return cls(value.name, kind.elem_type, None)
        # Exporters write an open dimension as a name, as nothing, or as a number below 1.
        shape = (size.dim_value if size.dim_value > 0 else size.dim_param or "?" for size in kind.shape.dim)
        return cls(value.name, kind.elem_type, tuple(shape))

    @property
    def sizes(self) -> tuple[int, ...] | None:
        """The shape, where no dimension is open."""
        sizes = tuple(size for size in self.shape or () if isinstance(size, int))
        return sizes if self.shape is not None and len(sizes) == len(self.shape) else None

    @property
    def row(self) -> int | None:
        """How many numbers these are, if they are one image's, in one row: (1, n), (1, n, 1, 1), (1, 1, n)."""
        sizes = self.sizes
        if self.element not in FLOATS or sizes is None or len(sizes) < 2 or sizes[0] != 1:
            return None
        return (math.prod(sizes) or None) if sum(size != 1 for size in sizes) <= 1 else None

    def __str__(self) -> str:
        kind = TensorProto.DataType.Name(self.element) if self.element in TensorProto.DataType.values() else "?"
        shape = "of unknown shape" if self.shape is None else f"({', '.join(map(str, self.shape))})"
        return f"{self.name} {kind} {shape}"


@dataclass(frozen=True)
class Input:
    """A network's only input: floats of an image, channels first (batch, 3, height, width) or last."""

    tensor: Tensor
    batch: int | str
    height: int | str
    width: int | str
    channels_first: bool

    @classmethod
    def of(cls, network: onnx.ModelProto) -> Input:
        """Raises BadNetwork for any other number of inputs, and for an input that is not an RGB image in floats."""
        constants = set(initializers(network.graph))
        inputs = [Tensor.of(value) for value in network.graph.input if value.name not in constants]
        if len(inputs) != 1:
            listed = "; ".join(map(str, inputs)) or "none"
            raise BadNetwork(f"the network has {len(inputs)} inputs where one is needed: {listed}")
        (tensor,) = inputs
        if tensor.element in (TensorProto.FLOAT, TensorProto.FLOAT16):
            match tensor.shape:
                case (batch, 3, height, width):
                    return cls(tensor, batch, height, width, channels_first=True)
                case (batch, height, width, 3):
                    return cls(tensor, batch, height, width, channels_first=False)
        raise BadNetwork(
            f"the network's input is {tensor}; supported: FLOAT or FLOAT16 of shape (batch, 3, height, width) or "
            "(batch, height, width, 3)"
        )

    def require(self, height: int, width: int) -> None:
        """Raise unless the network takes images of this size, one at a time."""
        for side, asked, given in (("high", self.height, height), ("wide", self.width, width)):
            if isinstance(asked, int) and asked != given:
                raise BadNetwork(f"the network takes images {asked} pixels {side}; the contract makes them {given}")
        if isinstance(self.batch, int) and self.batch != 1:
            raise BadNetwork(
                f"the network takes {self.batch} images at once; supported: 1, or any number",
                hint="export it with an open batch dimension",
            )

    def one(self, height: int, width: int) -> onnx.ValueInfoProto:
        """The input as it is declared for one image."""
        shape = (1, 3, height, width) if self.channels_first else (1, height, width, 3)
        return onnx.helper.make_tensor_value_info(self.tensor.name, self.tensor.element, shape)


def initializers(graph: onnx.GraphProto) -> Iterator[str]:
    """The names of a graph's constants."""
    yield from (tensor.name for tensor in graph.initializer)
    yield from (sparse.values.name for sparse in graph.sparse_initializer)
