"""Weights that know the photographs they were made with: nobody's training, but answers that mean something."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tests.conftest import Photograph
from tests.torch.with_torchvision import torchvision

_RIDGE, _SCALE = 1.0, 10.0


def inputs(preset: str, photographs: Sequence[Photograph]) -> torch.Tensor:
    """What torchvision's own preprocessing makes of them; `preset` is "ResNet50_Weights.IMAGENET1K_V1", for example."""
    transforms = torchvision().models.get_weight(preset).transforms()
    opened = (Image.open(io.BytesIO(photo.content)).convert("RGB") for photo in photographs)
    return torch.stack([transforms(picture) for picture in opened])


@torch.no_grad()
def network(architecture: str, images: torch.Tensor, classes: Sequence[int], path: Path) -> Any:
    """The network, random but for two things, saved to `path`: its batch norms hold the statistics of the images, and
    its last layer is fitted to their classes (ridge regression on what goes into it)."""
    torch.manual_seed(0)
    model = torchvision().models.get_model(architecture, weights=None)
    _calibrate(model, images[:32])
    head = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)][-1]
    features: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, arguments: features.append(arguments[0]))
    logits(model, images)
    hook.remove()
    _fit(head, torch.cat(features), torch.tensor(classes))
    torch.save(model.state_dict(), path)
    return model


@torch.no_grad()
def logits(model: Any, images: torch.Tensor) -> torch.Tensor:
    model.eval()
    return torch.cat([model(batch) for batch in images.split(10)])


def _calibrate(model: Any, images: torch.Tensor) -> None:
    norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    if norms:
        model.train()
        model(images)


def _fit(head: torch.nn.Linear, features: torch.Tensor, classes: torch.Tensor) -> None:
    mean, deviation = features.mean(0), features.std(0) + 1e-3
    known = (features - mean) / deviation
    wanted = torch.nn.functional.one_hot(classes, head.out_features).float() * _SCALE
    similar = known @ known.T / known.shape[1]
    solved = torch.linalg.solve(similar + _RIDGE * torch.eye(len(known)), wanted)
    weight = (known.T / known.shape[1]) @ solved / deviation[:, None]
    head.weight.copy_(weight.T)
    head.bias.copy_(-mean @ weight)
