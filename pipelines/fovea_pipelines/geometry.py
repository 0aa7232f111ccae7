"""The contract's arithmetic: which part of a stored image becomes the output, and how the output is turned upright."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fovea_pipelines.contract import Contract
from fovea_pipelines.headers import Header

# How a stored image becomes upright, by EXIF orientation: swap the axes, then flip vertically, then horizontally.
_UPRIGHT = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


@dataclass(frozen=True)
class Cut:
    """A region of the stored image, in pixels, not rounded, as (top, left) and (bottom, right); and the (height,
    width) it is resized to, before it is turned upright."""

    begin: tuple[float, float]
    end: tuple[float, float]
    size: tuple[int, int]


def cut(header: Header, contract: Contract) -> Cut:
    """What resizing the whole upright image and cropping its centre would keep, in torchvision's arithmetic.

    The shorter side becomes `resize_to`, the longer is cut to whole pixels; halves of the margin are rounded to even.
    """
    swap, flip_vertical, flip_horizontal = _UPRIGHT[header.orientation]
    height, width = (header.width, header.height) if swap else (header.height, header.width)
    shorter = min(height, width)
    rows = _kept(height, shorter, contract.resize_to, contract.output_height, flip_vertical)
    columns = _kept(width, shorter, contract.resize_to, contract.output_width, flip_horizontal)
    size = contract.output_height, contract.output_width
    if swap:
        rows, columns, size = columns, rows, size[::-1]
    return Cut((rows[0], columns[0]), (rows[1], columns[1]), size)


def _kept(source: int, shorter: int, resize_to: int, crop: int, flipped: bool) -> tuple[float, float]:
    """Along one axis of the upright image: from where to where, in source pixels of the stored one."""
    resized = source * resize_to // shorter
    start = round((resized - crop) / 2)
    scale = source / resized
    begin, end = start * scale, (start + crop) * scale
    return (source - end, source - begin) if flipped else (begin, end)


def upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """The stored pixels (height, width, 3) as the EXIF orientation says they are to be seen; a view."""
    swap, flip_vertical, flip_horizontal = _UPRIGHT[orientation]
    if swap:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if flip_vertical else 1, :: -1 if flip_horizontal else 1]
