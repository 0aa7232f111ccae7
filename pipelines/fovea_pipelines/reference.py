"""The reference executor of the contract: Pillow and NumPy, what training code does with `torchvision` on PIL images.

Slow and plain on purpose. Every other executor is measured against it. With `antialias` the arithmetic is Pillow's own
`Image.resize` (and therefore torchvision's on PIL images); without, each output pixel is sampled with a kernel of fixed
support, as OpenCV and `torch.nn.functional.interpolate` do.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fovea_pipelines import geometry
from fovea_pipelines.contract import Contract

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
_RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_MOST_PIXELS = 100_000_000  # after the resize
# What Pillow 11 to 13 raises on damaged files, besides OSError.
_PILLOW_RAISES = (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, struct.error, zlib.error)

Pixels = NDArray[np.uint8]


class Unreadable(Exception):
    """Pillow cannot decode these bytes, or there is too much to be made of them."""


def pixels(image: bytes, contract: Contract) -> Pixels:
    """The contract applied to one encoded image: UINT8 (output_height, output_width, 3).

    Raises Unreadable, also for an image so long that all of it, resized before the crop, takes gigabytes.
    """
    opened = _opened(image)
    if contract.orientation == "apply":
        opened = ImageOps.exif_transpose(opened)
    whole = np.asarray(_eight_bit(opened).convert("RGB"))
    plan = geometry.plan(whole.shape[0], whole.shape[1], contract)
    resized = _resized(whole, plan.resized, contract)
    top, left = plan.crop
    kept = resized[top : top + plan.size[0], left : left + plan.size[1]]
    result = geometry.on_canvas(kept, plan.place, contract)
    return result if contract.colour == "RGB" else result[..., ::-1]


def _opened(image: bytes) -> Image.Image:
    try:
        opened = Image.open(io.BytesIO(image), formats=_FORMATS)
        opened.load()
    except (*_PILLOW_RAISES, Image.DecompressionBombError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error
    return opened


def _eight_bit(image: Image.Image) -> Image.Image:
    """Pillow keeps 16-bit grey as it is, and would clip it when converting; the contract takes the high byte."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))


def _resized(whole: Pixels, size: tuple[int, int], contract: Contract) -> Pixels:
    height, width = size
    if height * width > _MOST_PIXELS:
        raise Unreadable(f"resized to {width}x{height} it has {height * width:,} pixels; at most {_MOST_PIXELS:,}")
    if contract.antialias or contract.kernel == "nearest":
        return np.asarray(Image.fromarray(whole).resize((width, height), _RESAMPLE[contract.kernel]))
    return _sampled(whole, size, _KERNELS[contract.kernel])


def _sampled(whole: Pixels, size: tuple[int, int], kernel: tuple[Callable[[Any], Any], int]) -> Pixels:
    """Separable sampling with a kernel of fixed support; pixel centres at half integers, edges repeated."""
    rows, columns = _weights(whole.shape[0], size[0], *kernel), _weights(whole.shape[1], size[1], *kernel)
    tall = np.einsum("or,rcx->ocx", rows, whole.astype(np.float64), optimize=True)
    result = np.einsum("oc,rcx->rox", columns, tall, optimize=True)
    rounded: Pixels = np.clip(np.rint(result), 0, 255).astype(np.uint8)
    return rounded


def _weights(source: int, target: int, kernel: Callable[[Any], Any], support: int) -> NDArray[np.float64]:
    """How much of each source pixel goes into each target pixel; shape (target, source), rows sum to 1."""
    centres = (np.arange(target) + 0.5) * source / target - 0.5
    weights = np.zeros((target, source))
    for offset in range(1 - support, support + 1):
        places = np.floor(centres).astype(int) + offset
        np.add.at(weights, (np.arange(target), np.clip(places, 0, source - 1)), kernel(centres - places))
    normalised: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return normalised


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(1 - np.abs(x), 0)


def _cubic(x: NDArray[np.float64], a: float = -0.5) -> NDArray[np.float64]:
    """Keys 1981, "Cubic convolution interpolation for digital image processing"."""
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


_KERNELS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "bilinear": (_triangle, 1),
    "bicubic": (_cubic, 2),
    "lanczos": (_lanczos, 3),
}
