"""Ultralytics: no file says it, the image size and the task do."""

from __future__ import annotations

import math
from typing import Any

from fovea_pipelines.contract import Contract
from fovea_pipelines.contract_sources.source import Source, pillow, refusal, side

_STRIDE = 32


def from_ultralytics(imgsz: int | tuple[int, int], *, task: str) -> Source:
    """The preprocessing of `predict`, for a square or a (height, width); read in ultralytics 8.4.190.

    "detect"    data/augment.py (`LetterBox`) and engine/predictor.py: the whole image, bilinear by OpenCV's
                INTER_LINEAR and so without antialiasing, in the middle of grey 114; BGR turned to RGB, divided by 255.
                This is what an exported model of fixed size gets. A .pt model gets less grey (`rect`, the smallest
                rectangle of whole strides), which is not one size and therefore no contract.
    "classify"  data/augment.py (`classify_transforms`), since 8.2: torchvision's Resize of the shorter side and
                CenterCrop on a PIL image, bilinear; a size that is not square is resized to exactly. Divided by 255,
                mean 0, std 1. A .pt checkpoint that carries transforms of its own uses those instead.
    """
    if task not in _CONTRACTS:
        raise refusal("ultralytics' task", task, ", ".join(map(repr, _CONTRACTS)))
    return Source(_CONTRACTS[task](*_size(imgsz)), mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))


def _detect(height: int, width: int) -> Contract:
    for given in (height, width):
        if given % _STRIDE:
            # Ultralytics warns and rounds up; whoever exported the model has the rounded size.
            rounded = math.ceil(given / _STRIDE) * _STRIDE
            raise refusal("ultralytics' imgsz", given, f"multiples of {_STRIDE}, the next is {rounded}")
    return Contract(
        orientation="apply",
        colour="RGB",
        resize="letterbox",
        kernel="bilinear",
        antialias=False,
        crop="none",
        fill=(114, 114, 114),
        output_height=height,
        output_width=width,
    )


def _classify(height: int, width: int) -> Contract:
    resize: dict[str, Any] = {"resize": "short_side", "resize_to": height, "crop": "centre"}
    if height != width:
        resize = {"resize": "exact", "resize_to": (height, width), "crop": "none"}
    return pillow("bilinear", **resize, output_height=height, output_width=width)


_CONTRACTS = {"classify": _classify, "detect": _detect}


def _size(imgsz: object) -> tuple[int, int]:
    if not isinstance(imgsz, list | tuple):
        imgsz = (imgsz, imgsz)
    if len(imgsz) != 2:
        raise refusal("ultralytics' imgsz", imgsz, "a number of pixels, (height, width)")
    return side("ultralytics' imgsz", imgsz[0]), side("ultralytics' imgsz", imgsz[1])
