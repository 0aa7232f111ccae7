"""A network that answers otherwise in company, or is not what it was exported from, does not become a package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from tests import small_networks

from fovea_pipelines.adding import checks
from fovea_pipelines.adding.checks import Original
from fovea_pipelines.adding.graphs.adopt import Adopted, adopt
from fovea_pipelines.errors import BadNetwork

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
PIXELS = list(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8) // np.array([[[1, 2, 3]]]))
PIXELS = [(pixels // (place + 1)).astype(np.uint8) for place, pixels in enumerate(PIXELS)]


def _adopted(network: onnx.ModelProto) -> Adopted:
    return adopt(network, height=32, width=32, mean=MEAN, std=STD)


@pytest.fixture
def network(tmp_path: Path) -> onnx.ModelProto:
    return onnx.load(small_networks.classifier(tmp_path / "small.onnx"))


def _weight(network: onnx.ModelProto, name: str) -> NDArray[np.float32]:
    return next(numpy_helper.to_array(each) for each in network.graph.initializer if each.name == name)


def _forward(network: onnx.ModelProto, factor: float = 1.0) -> Original:
    """The same arithmetic in NumPy."""
    kernel, weight = _weight(network, "kernel"), _weight(network, "weight")

    def forward(images: NDArray[np.float32]) -> NDArray[np.float32]:
        windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
        mapped = np.einsum("nchwij,ocij->nohw", windows, kernel)
        return (np.maximum(mapped, 0).mean(axis=(2, 3)) @ weight.T * factor).astype(np.float32)

    return Original(forward, MEAN, STD)


def test_a_sound_network_passes_with_what_was_measured(network: onnx.ModelProto) -> None:
    found = checks.check(_adopted(network), PIXELS, _forward(network))
    assert set(found) == {"batch", "original"}
    assert 0 <= max(found.values()) <= 1


def test_one_that_is_not_what_it_was_exported_from_is_refused(network: onnx.ModelProto) -> None:
    with pytest.raises(BadNetwork, match=r"answers otherwise than the network it was exported from: .* times what"):
        checks.check(_adopted(network), PIXELS, _forward(network, factor=1.01))


def test_one_that_mixes_the_images_of_a_batch_is_refused(network: onnx.ModelProto) -> None:
    network.graph.node.insert(4, helper.make_node("ReduceMean", ["features"], ["common"], axes=[0], keepdims=1))
    network.graph.node.insert(5, helper.make_node("Sub", ["features", "common"], ["apart"]))
    network.graph.node[6].input[0] = "apart"
    with pytest.raises(BadNetwork, match=r"answers otherwise in a batch than alone|the same for 4 images"):
        checks.check(_adopted(network), PIXELS, None)


def test_one_that_was_made_for_one_image_only_is_refused_with_what_to_do(network: onnx.ModelProto) -> None:
    shape = numpy_helper.from_array(np.array([1, 8], np.int64), "shape")
    network.graph.initializer.append(shape)
    network.graph.node[3].CopyFrom(helper.make_node("Reshape", ["pooled", "shape"], ["features"]))
    with pytest.raises(BadNetwork) as raised:
        checks.check(_adopted(network), PIXELS, None)
    assert "batch" in str(raised.value)
    assert raised.value.hint == "export it with a batch size that is not fixed"


def test_probabilities_are_not_taken_for_logits(network: onnx.ModelProto) -> None:
    nodes = [
        helper.make_node("Exp", ["logits"], ["exp"]),
        helper.make_node("ReduceSum", ["exp", "axis"], ["sum"], keepdims=1),
        helper.make_node("Div", ["exp", "sum"], ["probabilities"]),
    ]
    network.graph.node.extend(nodes)
    network.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
    network.graph.output[0].name = "probabilities"
    adopted = adopt(network, height=32, width=32, mean=MEAN, std=STD, embedding="features")
    with pytest.raises(BadNetwork, match="probabilities already"):
        checks.check(adopted, PIXELS, None)


def test_numbers_that_are_not_finite_are_counted(network: onnx.ModelProto) -> None:
    network.graph.node.insert(4, helper.make_node("Log", ["features"], ["log"]))
    network.graph.node.insert(5, helper.make_node("Log", ["log"], ["loglog"]))
    network.graph.node[6].input[0] = "loglog"
    with pytest.raises(BadNetwork, match="numbers that are not finite"):
        checks.check(_adopted(network), PIXELS, None)
