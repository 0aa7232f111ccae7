"""The ONNX graph computes what the PyTorch network computes. Needs torch: `make test-torch`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.conftest import Photograph

from fovea_pipelines import build, efficientnet_lite
from fovea_pipelines.dali_executor import DaliExecutor
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.preprocessed import Preprocessed
from fovea_pipelines.weights import read_state_dict

torch = pytest.importorskip("torch", reason="torch is not installed; run `make test-torch`")
network_module = pytest.importorskip("efficientnet_lite_pytorch", reason="the PyTorch network is not installed")
pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def checkpoint(package: ModelPackage) -> Path:
    return build.weights_of(package)


@pytest.fixture(scope="module")
def pixels(package: ModelPackage, espresso: bytes, photographs: list[Photograph]) -> NDArray[np.uint8]:
    executor = DaliExecutor(package.contract, 8, 2)
    contents = [espresso, *(photo.content for photo in photographs[:31])]
    results = [executor.run([np.frombuffer(content, np.uint8)])[0] for content in contents]
    return np.stack([result.pixels for result in results if isinstance(result, Preprocessed)])


def test_our_reader_gives_the_tensors_that_torch_gives(checkpoint: Path) -> None:
    ours = read_state_dict(checkpoint)
    theirs = torch.load(checkpoint, map_location="cpu", weights_only=True)
    assert set(ours) == set(theirs)
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(ours[name], tensor.numpy())


def test_the_logits_differ_by_less_than_a_thousandth(
    package: ModelPackage, checkpoint: Path, pixels: NDArray[np.uint8]
) -> None:
    ours = _our_logits(package, checkpoint, pixels)
    theirs = _their_logits(checkpoint, pixels)
    assert np.abs(ours - theirs).max() < 1e-3
    np.testing.assert_array_equal(ours.argmax(1), theirs.argmax(1))


def _our_logits(package: ModelPackage, checkpoint: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The graph's logits, an inner node, by OpenVINO in f32."""
    from fovea_pipelines.quiet_openvino import ov

    normalisation = package.table["normalisation"]
    model = efficientnet_lite.author(read_state_dict(checkpoint), normalisation["mean"], normalisation["std"])
    assert model.SerializeToString(deterministic=True) == package.onnx.path.read_bytes()
    graph = ov.Core().read_model(package.onnx.path)
    graph.add_outputs(efficientnet_lite.LOGITS)
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled({"PIXELS": pixels})[efficientnet_lite.LOGITS]


def _their_logits(checkpoint: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    network = network_module.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    network.eval()
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        return network((images - 127) / 128).numpy()
