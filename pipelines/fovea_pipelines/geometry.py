"""The contract's arithmetic, free of any decoder: what is kept of an image, how large it becomes, where it goes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fovea_pipelines.contract import Contract
from fovea_pipelines.headers import Header

Size = tuple[int, int]  # height, width
Pixels = NDArray[np.uint8]

_OVERSHOOTING = frozenset(("bicubic", "lanczos"))  # kernels with negative parts

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
class Plan:
    """For an upright image: the size it is resized to, the (top, left) and the size of the part that is kept of that,
    and the (top, left) where that part lies in the output."""

    resized: Size
    crop: tuple[int, int]
    size: Size
    place: tuple[int, int]


def plan(height: int, width: int, contract: Contract) -> Plan:
    """What the contract makes of an upright image of this size."""
    output = contract.output_height, contract.output_width
    if contract.resize == "letterbox":
        return _letterbox(height, width, output)
    resized = _resized(height, width, contract)
    size = resized if contract.crop == "none" else output
    half = _HALVES[contract.crop]
    return Plan(resized, (half(resized[0] - size[0]), half(resized[1] - size[1])), size, (0, 0))


def _to_even(margin: int) -> int:
    return round(margin / 2)


def _down(margin: int) -> int:
    return margin // 2


_HALVES = {"centre": _to_even, "centre_down": _down, "none": _down}


def _resized(height: int, width: int, contract: Contract) -> Size:
    if isinstance(contract.resize_to, tuple):
        return contract.resize_to
    assert contract.resize_to is not None
    shorter = min(height, width)
    return height * contract.resize_to // shorter, width * contract.resize_to // shorter


def _letterbox(height: int, width: int, output: Size) -> Plan:
    """Ultralytics' arithmetic (`LetterBox`): sizes rounded, an odd margin's extra pixel to the bottom and right."""
    scale = min(output[0] / height, output[1] / width)
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    place = round((output[0] - size[0]) / 2 - 0.1), round((output[1] - size[1]) / 2 - 0.1)
    return Plan(size, (0, 0), size, place)


@dataclass(frozen=True)
class Cut:
    """A region of the stored image, in pixels, not rounded, as (top, left) and (bottom, right); and the (height,
    width) it is resized to, before it is turned upright."""

    begin: tuple[float, float]
    end: tuple[float, float]
    size: Size


def cut(header: Header, kept: Plan, fraction: int = 1) -> Cut:
    """The part of the stored image from which resizing alone gives what the plan keeps of the upright one.

    Of an image that was decoded at 1/`fraction` of the size in its header: the last pixel of a side that `fraction`
    does not divide reaches beyond the image, so places are fractions of what the header says, not of what is stored.
    """
    swap, flip_vertical, flip_horizontal = _UPRIGHT[header.orientation]
    height, width = (side / fraction for side in upright_size(header))
    rows = _source(height, kept.resized[0], kept.crop[0], kept.size[0], flip_vertical)
    columns = _source(width, kept.resized[1], kept.crop[1], kept.size[1], flip_horizontal)
    size = kept.size
    if swap:
        rows, columns, size = columns, rows, (size[1], size[0])
    return Cut((rows[0], columns[0]), (rows[1], columns[1]), size)


def passes(header: Header, kept: Plan, contract: Contract, fraction: int = 1) -> tuple[Cut, ...]:
    """The cuts to be made one after the other, each on what the one before made; `fraction` as for `cut`.

    Usually one. Pillow resizes along the rows of the upright image first and rounds to 0..255 before it resizes along
    its columns (`Image.resize`, Resample.c). A kernel that overshoots is cut off there, which shows on hard edges: by
    up to 25 of 255 on images of black and white alone. So bicubic and Lanczos are made in the same two passes.
    """
    whole = cut(header, kept, fraction)
    if count_of_passes(contract) == 1:
        return (whole,)
    (top, left), (bottom, right), (height, width) = whole.begin, whole.end, whole.size
    rows, columns = math.ceil(header.height / fraction), math.ceil(header.width / fraction)
    if _UPRIGHT[header.orientation][0]:
        first = Cut((top, 0), (bottom, columns), (height, columns))
        return first, Cut((0, left), (height, right), whole.size)
    first = Cut((0, left), (rows, right), (rows, width))
    return first, Cut((top, 0), (bottom, width), whole.size)


def count_of_passes(contract: Contract) -> int:
    """How many `passes` there are of every image."""
    return 2 if contract.antialias and contract.kernel in _OVERSHOOTING else 1


def _source(source: float, resized: int, start: int, count: int, flipped: bool) -> tuple[float, float]:
    """Along one axis of the upright image: from where to where, in source pixels of the stored one."""
    scale = source / resized
    begin, end = start * scale, (start + count) * scale
    return (source - end, source - begin) if flipped else (begin, end)


def upright_size(header: Header) -> Size:
    """Height and width once the orientation is applied."""
    swap = _UPRIGHT[header.orientation][0]
    return (header.width, header.height) if swap else (header.height, header.width)


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """The stored pixels (height, width, 3) as the EXIF orientation says they are to be seen; a view."""
    swap, flip_vertical, flip_horizontal = _UPRIGHT[orientation]
    if swap:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if flip_vertical else 1, :: -1 if flip_horizontal else 1]


def stored_place(header: Header, kept: Plan) -> NDArray[np.float32]:
    """The affine map (2, 3) from a place (x, y, 1) in what is kept of the upright image to the same pixels as stored;
    places are corners of pixels. The inverse of `upright`, for those who cannot take views."""
    swap, flip_vertical, flip_horizontal = _UPRIGHT[header.orientation]
    height, width = kept.size
    across = (-1, 0, width) if flip_horizontal else (1, 0, 0)
    down = (0, -1, height) if flip_vertical else (0, 1, 0)
    return np.array((down, across) if swap else (across, down), dtype=np.float32)


def on_canvas(kept: Pixels, place: tuple[int, int], contract: Contract) -> Pixels:
    """The output: what is kept, with the contract's fill around it where it is smaller."""
    output = contract.output_height, contract.output_width
    if kept.shape[:2] == output:
        return kept
    canvas = np.empty((*output, 3), dtype=np.uint8)
    canvas[:] = contract.fill
    (top, left), (height, width) = place, kept.shape[:2]
    canvas[top : top + height, left : left + width] = kept
    return canvas
