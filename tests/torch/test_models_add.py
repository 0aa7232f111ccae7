"""A torchvision network, added by one command, answers as torchvision's preprocessing and PyTorch's forward do."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.conftest import Photograph
from tests.e2e.served import FOVEA, Served, served
from tests.ports import free_ports

from fovea_pipelines.package import ModelPackage
from fovea_pipelines.parity import measures

torch = pytest.importorskip("torch", reason="torch is not installed; run `make test-torch`")
pytestmark = [pytest.mark.torch, pytest.mark.large, pytest.mark.timeout(400)]

PRESETS = {"resnet50": "ResNet50_Weights.IMAGENET1K_V1", "convnext_tiny": "ConvNeXt_Tiny_Weights.IMAGENET1K_V1"}
_PHOTOGRAPHS = 60


@pytest.fixture(scope="module")
def server(package: ModelPackage) -> Iterator[Served]:
    with served(free_ports(5)) as server:
        yield server


@pytest.mark.parametrize("architecture", PRESETS)
def test_an_added_network_answers_as_pytorch_does(
    server: Served, photographs: list[Photograph], architecture: str, tmp_path: Path
) -> None:
    from tests.torch import fitted

    some = photographs[:_PHOTOGRAPHS]
    images = fitted.inputs(PRESETS[architecture], some)
    weights = tmp_path / f"{architecture}.pth"
    network = fitted.network(architecture, images, [photo.class_index for photo in some], weights)
    expected = torch.softmax(fitted.logits(network, images), dim=1).numpy()
    _add(server, architecture, weights, some, tmp_path)

    found = [_scores(server, architecture, photo) for photo in some]
    agree = [measures.top_1_agrees(*pair) for pair in zip(expected, found, strict=True)]
    drifts = [measures.logit_drift(*pair) for pair in zip(expected, found, strict=True)]
    known = np.mean([scores.argmax() == photo.class_index for scores, photo in zip(found, some, strict=True)])
    assert known > 0.9, "weights that know nothing prove nothing"
    assert np.mean(agree) >= 0.99
    assert max(drifts) <= 1.0  # what the package itself allows


def _add(server: Served, architecture: str, weights: Path, photographs: list[Photograph], folder: Path) -> None:
    """The one command. The fitted head knows one class of each photograph: what comes next is a tie of 999."""
    (folder / "photographs").mkdir()
    for photo in photographs:
        shutil.copy(photo.path, folder / "photographs")
    preset = PRESETS[architecture].partition(".")[2]
    added = subprocess.run(
        [
            *(FOVEA, "models", "add", f"torchvision:{architecture}:{preset}", "--weights", weights),
            *("--images", folder / "photographs", "--limit", "top_5=0", "--state", server.state),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert added.returncode == 0, added.stderr


def _scores(server: Served, model: str, photo: Photograph) -> NDArray[np.float32]:
    url = f"{server.url}/v1/classify?model={model}&top_k=1000"
    answer = httpx.post(url, content=photo.content, timeout=20).raise_for_status().json()
    scores = np.zeros(1000, np.float32)
    for prediction in answer["predictions"]:
        scores[prediction["index"]] = prediction["score"]
    return scores
