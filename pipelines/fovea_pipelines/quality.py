"""Three measures of an image's quality, as formulas; on a GPU, DALI computes all of them, on a CPU only the luma.

All are taken on the luma of the pixels the model sees: Y = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded to
0..255.

brightness   mean(Y) / 255                       0 is black, 1 is white
contrast     standard deviation of Y / 255       root-mean-square contrast (Peli 1990); at most 0.5
sharpness    variance of the Laplacian of Y      kernel [0 1 0; 1 -4 1; 0 1 0], borders mirrored without repeating
                                                 the edge (Pech-Pacheco et al. 2000); 0 is flat, blur lowers it
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def of_luma(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness, contrast and sharpness of one image from its luma (height, width); float32 of shape (3,)."""
    mean, variance = _moments(luma)
    _, sharpness = _moments(_laplacian(luma))
    return np.array([mean / 255, math.sqrt(variance) / 255, sharpness], dtype=np.float32)


def _moments(values: NDArray[Any]) -> tuple[float, float]:
    """Mean and variance. The sums are exact to a millionth: at most 2^26 values of at most 2^10."""
    flat = values.ravel().astype(np.float32)
    mean = float(flat.sum()) / flat.size
    flat -= mean
    return mean, float(flat @ flat) / flat.size


def _laplacian(luma: NDArray[np.uint8]) -> NDArray[np.int16]:
    """All rows at once, as one line: what is added across the end of a row is taken back."""
    centre = luma.astype(np.int16)
    edges = centre * np.int16(-4)
    if len(centre) == 1:
        edges += 2 * centre
    else:
        edges[1:] += centre[:-1]
        edges[:-1] += centre[1:]
        edges[0] += centre[1]
        edges[-1] += centre[-2]
    if centre.shape[1] == 1:
        edges += 2 * centre
    else:
        edges.ravel()[1:] += centre.ravel()[:-1]
        edges.ravel()[:-1] += centre.ravel()[1:]
        edges[0, 0] += centre[0, 1]
        edges[1:, 0] += centre[1:, 1] - centre[:-1, -1]
        edges[-1, -1] += centre[-1, -2]
        edges[:-1, -1] += centre[:-1, -2] - centre[1:, 0]
    return edges


def dali_luma(pixels: Any) -> Any:
    """The luma (height, width, 1) of a batch of HWC UINT8 images, as a DALI operator."""
    from nvidia.dali import fn, types

    return fn.color_space_conversion(pixels, image_type=types.RGB, output_type=types.GRAY)


def dali_measures(pixels: Any) -> Any:
    """The same three measures as DALI operators on a batch of HWC UINT8 images; a batch of float32 (3,)."""
    from nvidia.dali import fn, types

    luma = dali_luma(pixels)
    mean = fn.reductions.mean(luma)
    edges = fn.laplacian(luma, window_size=3, smoothing_size=1, dtype=types.FLOAT)
    sharpness = fn.reductions.variance(edges, fn.reductions.mean(edges))
    return fn.stack(mean / 255.0, fn.reductions.std_dev(luma, mean) / 255.0, sharpness)
