"""An 8-bit graph without zero points, which TensorRT asks for, says nearly what the one with them says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tests.conftest import Photograph

from fovea_pipelines import reference
from fovea_pipelines.engines import tensorrt_check
from fovea_pipelines.engines.symmetric import symmetric
from fovea_pipelines.errors import BadNetwork
from fovea_pipelines.openvino_engine import OpenVinoEngine
from fovea_pipelines.package import ModelPackage


def _zero_points(model: onnx.ModelProto) -> list[int]:
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    pairs = (node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear"))
    return [int(value) for node in pairs for value in constants[node.input[2]].reshape(-1)]


def test_it_keeps_what_the_default_model_says(
    package: ModelPackage, photographs: list[Photograph], tmp_path: Path
) -> None:
    graph = onnx.load(package.artefacts["int8"].path)
    before = graph.SerializeToString(deterministic=True)
    changed = symmetric(graph)
    assert graph.SerializeToString(deterministic=True) == before
    assert any(_zero_points(graph))
    assert not any(_zero_points(changed))
    onnx.checker.check_model(changed, full_check=True)
    onnx.save(changed, tmp_path / "symmetric.onnx")
    images = [reference.pixels(each.content, package.contract) for each in photographs[::4]]
    answers = OpenVinoEngine(tmp_path / "symmetric.onnx", "int8", 2).run(images)
    drift = tensorrt_check.compare(answers, OpenVinoEngine(package.onnx.path, "f32", 2).run(images))
    tensorrt_check.refuse_beyond_limits(package, "int8", drift)


def test_a_range_is_kept_as_far_as_its_farther_end() -> None:
    graph = _pair(np.array(0.1, np.float32), np.array(-28, np.int8))  # -10 to 15.5
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in symmetric(graph).graph.initializer}
    assert found["scale"] * 127 == pytest.approx(15.5)
    assert found["zero"] == 0


def test_what_has_no_zero_point_stays_as_it_is() -> None:
    graph = _pair(np.array(0.1, np.float32), np.array(0, np.int8))
    assert symmetric(graph) == graph


def test_unsigned_integers_are_refused() -> None:
    with pytest.raises(BadNetwork, match="TensorRT reads no zero points, and those of quantise cannot be taken out"):
        symmetric(_pair(np.array(0.1, np.float32), np.array(128, np.uint8)))


def _pair(scale: NDArray[np.float32], zero: NDArray[Any]) -> onnx.ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="quantise"),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], name="dequantise"),
        ],
        "pair",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
        [numpy_helper.from_array(scale, "scale"), numpy_helper.from_array(zero, "zero")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
