"""What usually goes wrong in preprocessing, one knob at a time: the reference with that knob turned."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from fovea_pipelines import reference
from fovea_pipelines.contract import Contract
from fovea_pipelines.errors import BadContract
from fovea_pipelines.geometry import plan
from fovea_pipelines.parity import redecoded
from fovea_pipelines.parity.executors import Pixels

Suspect = tuple[str, Pixels]

# Sampling without antialias is dense arithmetic in the reference; beyond this it takes seconds and gigabytes.
_MOST_RESIZED_PIXELS = 2_000_000
_MOST_PIXELS = 16_000_000


def suspects(image: bytes, contract: Contract) -> Iterator[Suspect]:
    """Each suspicion with the pixels that would prove it; those that cannot be are left out."""
    for name, changed in _turned(image, contract):
        yield name, reference.pixels(image, changed)
    yield "channels swapped", reference.pixels(image, contract)[..., ::-1]
    for name, rewrite in _DECODERS.items():
        with suppress(OSError):  # a damaged file that only the reference's way of decoding gets through
            rewritten = rewrite(image)
            if rewritten is not None:
                yield name, reference.pixels(rewritten, contract)
    for shift in _shifted(image, contract):
        yield "crop off by a pixel", shift


_DECODERS: dict[str, Callable[[bytes], bytes | None]] = {
    "chroma upsampled without blending": redecoded.nearest_chroma,
    "alpha over black": partial(redecoded.over, background="black"),
    "alpha over white": partial(redecoded.over, background="white"),
    "embedded profile applied": redecoded.by_its_profile,
    "CMYK inverted": redecoded.inverted_ink,
}


def _turned(image: bytes, contract: Contract) -> Iterator[tuple[str, Contract]]:
    """The contract with one setting changed, as far as it then still makes sense."""
    height, width = _upright_size(image, contract)
    output = (contract.output_height, contract.output_width)
    for name, changes in (
        _orientation(contract),
        *_kernels(contract, height, width),
        ("stretched instead of cropped", {"resize": "exact", "resize_to": output, "crop": "none"}),
        ("cropped instead of stretched", {"resize": "short_side", "resize_to": max(output), "crop": "centre"}),
        ("size rounded up", _rounded_up(contract, height, width)),
    ):
        try:
            changed = dataclasses.replace(contract, **changes)
        except BadContract:
            continue
        if changed != contract:
            yield name, changed


def _orientation(contract: Contract) -> tuple[str, dict[str, Any]]:
    if contract.orientation == "apply":
        return "orientation ignored", {"orientation": "ignore"}
    return "orientation applied", {"orientation": "apply"}


def _kernels(contract: Contract, height: int, width: int) -> Iterator[tuple[str, dict[str, Any]]]:
    resized = plan(height, width, contract).resized
    dense = resized[0] * resized[1] <= _MOST_RESIZED_PIXELS and height * width <= _MOST_PIXELS
    if contract.antialias and dense:
        yield "antialias off", {"antialias": False}
    if not contract.antialias:
        yield "antialias on", {"antialias": True}
    yield "nearest kernel", {"kernel": "nearest", "antialias": False}
    for kernel in ("bilinear", "bicubic", "lanczos"):
        if contract.antialias or dense:
            yield f"{kernel} kernel", {"kernel": kernel}


def _rounded_up(contract: Contract, height: int, width: int) -> dict[str, Any]:
    """The longer side as ceil(source * scale), where the contract cuts to whole pixels."""
    if contract.resize != "short_side" or not isinstance(contract.resize_to, int):
        return {}
    shorter = min(height, width)
    size = tuple(-(-side * contract.resize_to // shorter) for side in (height, width))
    return {"resize": "exact", "resize_to": size}


def _shifted(image: bytes, contract: Contract) -> Iterator[Pixels]:
    """The crop moved by a pixel or two: windows of a crop that is four pixels larger."""
    height, width = contract.output_height, contract.output_width
    try:
        wide = dataclasses.replace(contract, output_height=height + 4, output_width=width + 4)
    except BadContract:
        return
    if contract.crop != "centre":
        return
    larger, own = reference.pixels(image, wide), reference.pixels(image, contract)
    for top in range(5):
        for left in range(5):
            window = larger[top : top + height, left : left + width]
            if not np.array_equal(window, own):
                yield window


def _upright_size(image: bytes, contract: Contract) -> tuple[int, int]:
    opened: Image.Image = Image.open(io.BytesIO(image))
    if contract.orientation == "apply":
        opened = ImageOps.exif_transpose(opened)
    return opened.height, opened.width
