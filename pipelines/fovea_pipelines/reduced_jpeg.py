"""Decode a large JPEG at a fraction of its size: the DCT's own scaling in libjpeg-turbo, through simplejpeg."""

from __future__ import annotations

import math

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from fovea_pipelines.contract import Contract
from fovea_pipelines.geometry import Size, upright_size
from fovea_pipelines.headers import Header

_FACTORS = (8, 4, 2)
_COLOUR_SPACES = frozenset(("Gray", "YCbCr", "RGB"))
_SPARE = 2  # how many times what the resize needs is to be left


def fraction(header: Header, needed: Size, contract: Contract) -> int:
    """By how much the contract lets the sides of this image be divided in decoding; 1 if it is to be decoded in full.

    `needed` is the (height, width) that all of the upright image is resized to.
    """
    if not contract.scaled_decode or header.format != "jpeg":
        return 1
    return factor(*upright_size(header), needed)


def factor(height: int, width: int, needed: Size) -> int:
    """The largest of 8, 4 and 2 that leaves twice `needed` (height, width); 1 if there is none.

    What is left over is for the resize to filter. On 12-megapixel JPEGs the pixels then differ from a full decode by
    0.2 of 255 on average; leaving just what is needed, the difference is twice that and the gain a fifth more.
    """
    for each in _FACTORS:
        if height >= needed[0] * each * _SPARE and width >= needed[1] * each * _SPARE:
            return each
    return 1


def decode(image: NDArray[np.uint8], height: int, width: int, by: int) -> NDArray[np.uint8] | None:
    """The pixels as stored at 1/`by` of `height` x `width`, rounded up, RGB UINT8.

    None where libjpeg-turbo would even complain, or cannot make RGB of it: the full decoder is to judge then.
    """
    if not becomes_rgb(image):
        return None
    least = {"min_height": math.ceil(height / by), "min_width": math.ceil(width / by)}
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(image, "RGB", min_factor=float(by), strict=True, **least)
    except ValueError:
        return None
    return pixels


def becomes_rgb(image: NDArray[np.uint8]) -> bool:
    """Whether libjpeg-turbo can make RGB of it, by its header: not of four inks."""
    try:
        return simplejpeg.decode_jpeg_header(image)[2] in _COLOUR_SPACES
    except ValueError:
        return False
