"""Networks of torchvision and timm, with published weights or a file's, on their way into a package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fovea_pipelines.adding.network import Network
from fovea_pipelines.adding.pytorch import export, timm_zoo, torchvision_zoo
from fovea_pipelines.adding.pytorch.libraries import quiet, torch
from fovea_pipelines.adding.pytorch.trained import Trained
from fovea_pipelines.errors import BadNetwork

_ZOOS: dict[str, Callable[[str, Path | None], Trained]] = {"torchvision": torchvision_zoo.read, "timm": timm_zoo.read}


def read(spec: str, weights: Path | None) -> Network:
    """The network "torchvision:NAME[:WEIGHTS]" or "timm:NAME[.TAG]" with the weights in a file; None: published ones.

    `weights` is read without PyTorch, by `fovea_pipelines.weights`: nothing in it is run. The number of classes is that
    of the weights. Raises BadNetwork, BadWeights, BadContract, and MissingArtefact where PyTorch is not installed.
    """
    zoo, _, name = spec.partition(":")
    if zoo not in _ZOOS or not name:
        raise BadNetwork(
            f"{spec!r} names no network",
            hint="torchvision:resnet50, timm:vit_small_patch16_224, or the path of a file that ends in .onnx",
        )
    with quiet():
        found = _ZOOS[zoo](name, weights)
        found.network.eval()
        contract = found.source.contract
        graph = export.export(found.network, contract.output_height, contract.output_width, spec)
    return Network(graph, found.source, found.labels, found.origin, _forward(found))


def _forward(found: Trained) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    def forward(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch().inference_mode():
            answer: NDArray[np.float32] = found.network(torch().tensor(images)).numpy()
        return answer

    return forward
