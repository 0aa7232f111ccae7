"""Classification networks of torchvision: "resnet50", or "resnet50:IMAGENET1K_V1" to say which published weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from fovea_pipelines.adding.pytorch import fetching, trained
from fovea_pipelines.adding.pytorch.libraries import torch, torchvision
from fovea_pipelines.adding.pytorch.trained import Trained
from fovea_pipelines.contract_sources import from_torchvision
from fovea_pipelines.errors import BadNetwork
from fovea_pipelines.package import sha256_of
from fovea_pipelines.weights import Array, read_state_dict

_CLASSES = 1000  # of every architecture, unless told otherwise
# Networks that may renormalise their input; nothing in the weights says whether they were trained so.
_RENORMALISING = ("googlenet", "inception_v3")
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
# How torchvision's own loading mends the names in weights older than its DenseNet.
_OLD_DENSENET = re.compile(
    r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var))$"
)


@dataclass(frozen=True)
class _Preset:
    """Published weights, with the preprocessing they were trained for.

    `certain` is whether somebody said that the weights are, or descend from, these: by name, or by the file's name.
    """

    member: Any
    certain: bool


def read(spec: str, weights: Path | None) -> Trained:
    """The network "NAME" or "NAME:WEIGHTS", with the weights in a file or the published ones. Raises PipelineError."""
    name, _, member = spec.partition(":")
    name = name.lower()
    _check_name(name)
    preset = _preset(name, member, weights)
    url = None if weights else str(preset.member.url)
    path = weights or fetching.from_url(str(url))
    tensors = _renamed(name, read_state_dict(path))
    network, classes = _built(name, preset, tensors)
    trained.load(network, trained.as_torch(tensors), f"torchvision:{name}")
    categories = tuple(preset.member.meta.get("categories", ()))
    origin = {
        "kind": "torchvision",
        "architecture": name,
        "preset": preset.member.name,
        "weights": path.name,
        "weights_sha256": sha256_of(path),
        **({"url": url} if url else {}),
        "torch": str(torch().__version__),
        "torchvision": str(torchvision().__version__),
    }
    labels = categories if len(categories) == classes else None
    return Trained(network, from_torchvision(preset.member.transforms()), labels, origin)


def _check_name(name: str) -> None:
    models = torchvision().models
    classifiers = models.list_models(module=models)
    if name in classifiers:
        return
    if name in models.list_models():
        kind = models.get_model_builder(name).__module__.split(".")[2].replace("_", " ")
        raise BadNetwork(f"torchvision:{name} is a network for {kind}; only those for classification are served")
    raise BadNetwork(f"torchvision has no network {name!r}", hint=trained.nearest(name, classifiers))


def _preset(name: str, member: str, weights: Path | None) -> _Preset:
    """The one that is named, else the one whose file it is, else the one torchvision recommends."""
    members = torchvision().models.get_model_weights(name)
    if member:
        if member not in members.__members__:
            raise BadNetwork(
                f"torchvision:{name} has no published weights {member!r}",
                hint=f"it has {', '.join(members.__members__)}",
            )
        return _Preset(members[member], certain=True)
    for published in members:
        if weights and Path(urlparse(published.url).path).name == weights.name:
            return _Preset(published, certain=True)
    return _Preset(members.DEFAULT, certain=weights is None)


def _built(name: str, preset: _Preset, tensors: Mapping[str, Array]) -> tuple[Any, int]:
    """The architecture, with as many classes as the weights have, and how many they are."""
    arguments: dict[str, Any] = {}
    if name in _RENORMALISING:
        arguments = _renormalising(name, preset, tensors)
    elif name.startswith("vit_"):
        arguments = {"image_size": preset.member.meta["min_size"][0]}
    network = torchvision().models.get_model(name, weights=None, **arguments)
    classes = _classes(network, tensors)
    if classes != _CLASSES:
        network = torchvision().models.get_model(name, weights=None, num_classes=classes, **arguments)
    return network, classes


def _renormalising(name: str, preset: _Preset, tensors: Mapping[str, Array]) -> dict[str, Any]:
    if not preset.certain:
        raise BadNetwork(
            f"torchvision:{name} may have been trained with transform_input or without, and weights do not say which",
            hint=f"if they descend from the published ones: torchvision:{name}:{preset.member.name}",
        )
    auxiliary = any(tensor.startswith(_AUXILIARY) for tensor in tensors)
    return {"transform_input": True, "init_weights": False, "aux_logits": auxiliary}


def _classes(network: Any, tensors: Mapping[str, Array]) -> int:
    """How many classes the weights have: where a network of 1000 has a side of 1000, in a tensor otherwise alike."""
    found = {
        tensors[name].shape[0]
        for name, wanted in network.state_dict().items()
        if name in tensors
        and wanted.ndim
        and wanted.shape[0] == _CLASSES
        and tensors[name].shape[1:] == wanted.shape[1:]
    }
    return found.pop() if len(found) == 1 else _CLASSES


def _renamed(name: str, tensors: dict[str, Array]) -> dict[str, Array]:
    if not name.startswith("densenet"):
        return tensors
    return {_OLD_DENSENET.sub(r"\1\2", old): tensor for old, tensor in tensors.items()}
