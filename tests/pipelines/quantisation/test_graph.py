"""The 8-bit form of a network is built from ranges alone, and says nearly what the network says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from tests import small_networks

from fovea_pipelines import build
from fovea_pipelines.adding.graphs.adopt import adopt
from fovea_pipelines.errors import BadNetwork, BadPackage
from fovea_pipelines.openvino_engine import OpenVinoEngine
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.quantisation.graph import quantised
from fovea_pipelines.quantisation.ranges import Ranges
from fovea_pipelines.quiet_openvino import ov

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def network(tmp_path: Path) -> onnx.ModelProto:
    """Pixels to scores, as it would be served."""
    small = onnx.load(small_networks.classifier(tmp_path / "small.onnx"))
    adopted = adopt(small, height=32, width=32, mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))
    return onnx.load_from_string(adopted.model)


def _tensor(network: onnx.ModelProto, name: str) -> NDArray[np.float32]:
    """What a tensor inside the network holds for PIXELS."""
    copy = onnx.ModelProto()
    copy.CopyFrom(network)
    copy.graph.output.append(onnx.ValueInfoProto(name=name))
    answers = ov.Core().compile_model(
        ov.Core().read_model(copy.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )(PIXELS)
    return next(np.array(answers[output]) for output in answers if name in output.get_names())


def _ranges(network: onnx.ModelProto) -> Ranges:
    """Of what goes into the convolution and into the linear layer."""
    inputs = [node.input[0] for node in network.graph.node if node.op_type in ("Conv", "Gemm")]
    tensors = {name: _tensor(network, name) for name in inputs}
    return Ranges({name: (float(values.min()), float(values.max())) for name, values in tensors.items()}, {})


def test_an_8_bit_graph_reads_integers_and_says_nearly_the_same(network: onnx.ModelProto) -> None:
    smaller = quantised(network, _ranges(network))
    (gemm,) = (node for node in network.graph.node if node.op_type == "Gemm")
    (integers,) = (tensor for tensor in smaller.graph.initializer if tensor.name.endswith(".int8"))
    # Not those of the convolution: it is the first.
    assert (integers.name, integers.data_type) == (f"{gemm.input[1]}.int8", onnx.TensorProto.INT8)
    before, after = _tensor(network, "logits"), _tensor(smaller, "logits")
    assert not np.array_equal(before, after)
    assert np.abs(before - after).max() < 0.05 * np.ptp(before)


def test_a_graph_too_old_for_a_scale_an_output_channel_is_refused(network: onnx.ModelProto) -> None:
    ranges = _ranges(network)
    network.opset_import[0].version = 12
    with pytest.raises(BadNetwork, match="the network is of opset 12; an 8-bit form takes 13 or more"):
        quantised(network, ranges)


def test_the_network_itself_is_left_alone(network: onnx.ModelProto) -> None:
    before = network.SerializeToString(deterministic=True)
    quantised(network, _ranges(network))
    assert network.SerializeToString(deterministic=True) == before


def test_corrected_biases_take_the_place_of_the_old_ones(network: onnx.ModelProto) -> None:
    gemm = next(node for node in network.graph.node if node.op_type == "Gemm")
    ranges = dataclasses.replace(_ranges(network), biases={gemm.input[2]: np.full(5, 7.0, np.float32)})
    shifted = _tensor(quantised(network, ranges), "logits")
    plain = _tensor(quantised(network, _ranges(network)), "logits")
    np.testing.assert_allclose(shifted - plain, 7.0, atol=1e-3)


def test_ranges_are_read_back_from_the_graph_that_was_made_of_them(network: onnx.ModelProto, tmp_path: Path) -> None:
    ranges = _ranges(network)
    found = Ranges.of(quantised(network, ranges), network)
    (gemm,) = (node for node in network.graph.node if node.op_type == "Gemm")
    assert set(found.tensors) == {gemm.input[0]}  # what comes before the first weights stays as it is
    for name, (least, greatest) in found.tensors.items():
        step = (greatest - least) / 255
        # Zero is always among the numbers that 8 bits stand for.
        before = min(ranges.tensors[name][0], 0.0), max(ranges.tensors[name][1], 0.0)
        assert (least, greatest) == pytest.approx(before, abs=step)
    found.write(tmp_path / "ranges.npz")
    assert Ranges.read(tmp_path / "ranges.npz") == found


def test_ranges_of_another_network_are_refused(network: onnx.ModelProto) -> None:
    with pytest.raises(BadPackage, match="it has no tensor elsewhere"):
        quantised(network, Ranges({"elsewhere": (0.0, 1.0)}, {}))


def test_a_file_that_holds_no_ranges_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ranges.npz").write_bytes(b"nothing")
    with pytest.raises(BadPackage, match="holds no ranges"):
        Ranges.read(tmp_path / "ranges.npz")


def test_the_default_model_is_built_in_8_bits_and_knows_its_golden_image(
    package: ModelPackage, espresso: bytes
) -> None:
    from fovea_pipelines import reference

    build.build(package)
    artefact = package.artefacts["int8"]
    artefact.check()
    assert artefact.path.stat().st_size < package.onnx.path.stat().st_size / 3
    (outputs,) = OpenVinoEngine(artefact.path, "int8", streams=1).run([reference.pixels(espresso, package.contract)])
    assert outputs.scores is not None
    assert int(outputs.scores.argmax()) == 967
    assert outputs.scores.max() == pytest.approx(0.94, abs=0.03)
