"""Decode a large JPEG at a fraction of its size: the DCT's own scaling in libjpeg-turbo, through simplejpeg."""

from __future__ import annotations

import math

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from fovea_pipelines.geometry import Size

_FACTORS = (8, 4, 2)
_COLOUR_SPACES = frozenset(("Gray", "YCbCr", "RGB"))
_SPARE = 2  # how many times what the resize needs is to be left


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

    None where libjpeg-turbo would even complain, or cannot make RGB of it (CMYK): the full decoder is to judge then.
    """
    least = {"min_height": math.ceil(height / by), "min_width": math.ceil(width / by)}
    try:
        if simplejpeg.decode_jpeg_header(image)[2] not in _COLOUR_SPACES:
            return None
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(image, "RGB", min_factor=float(by), strict=True, **least)
    except ValueError:
        return None
    return pixels
