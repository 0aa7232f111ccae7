"""What calibration found: the range of every tensor that is quantised, and the biases that make up for the rounding.

It is data of a few kilobytes, kept beside a model whose weights come from elsewhere, so that its 8-bit form is built
without a photograph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from fovea_pipelines.errors import BadPackage

_INTEGERS = {"int8": (-128, 127), "uint8": (0, 255)}


@dataclass(frozen=True)
class Ranges:
    """`tensors` is the least and the greatest value of each activation, `biases` replace those of the network."""

    tensors: Mapping[str, tuple[float, float]]
    biases: Mapping[str, NDArray[np.float32]]

    @classmethod
    def of(cls, quantised: onnx.ModelProto, original: onnx.ModelProto) -> Ranges:
        """Read back from a graph that a quantiser made of `original` (QuantizeLinear with one scale a tensor)."""
        constants, before = _constants(quantised), _constants(original)
        tensors = {}
        for node in quantised.graph.node:
            if node.op_type == "QuantizeLinear" and node.input[0] not in constants:
                scale, zero = constants[node.input[1]], constants[node.input[2]]
                if scale.size != 1:
                    raise BadPackage(f"{node.input[0]} has {scale.size} scales; one a tensor is kept")
                offset, factor = int(zero.item()), float(scale.item())
                least, greatest = _INTEGERS[str(zero.dtype)]
                tensors[node.input[0]] = (least - offset) * factor, (greatest - offset) * factor
        biases = {
            name: value.astype(np.float32)
            for name, value in constants.items()
            if name in before and not np.array_equal(value, before[name])
        }
        return cls(tensors, biases)

    @classmethod
    def read(cls, path: Path) -> Ranges:
        """Raises BadPackage for a file that is not one of ours."""
        try:
            with np.load(path, allow_pickle=False) as file:
                names, values = file["tensors"], file["ranges"]
                biases = {name.removeprefix("bias/"): file[name] for name in file.files if name.startswith("bias/")}
        except (OSError, ValueError, KeyError) as error:
            raise BadPackage(f"{path} holds no ranges: {error}") from error
        pairs = zip(names.tolist(), values.tolist(), strict=True)
        return cls({name: (least, greatest) for name, (least, greatest) in pairs}, biases)

    def write(self, path: Path) -> None:
        names = np.array(list(self.tensors))
        ranges = np.array(list(self.tensors.values()), dtype=np.float64)
        np.savez_compressed(
            path, tensors=names, ranges=ranges, **{f"bias/{name}": b for name, b in self.biases.items()}
        )


def _constants(model: onnx.ModelProto) -> dict[str, NDArray[np.generic]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
