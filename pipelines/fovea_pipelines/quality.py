"""Three measures of an image's quality, as formulas; on a GPU, DALI computes the same inside its pipeline.

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
from PIL import Image


def measure(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness, contrast and sharpness of one image of shape (height, width, 3); float32 of shape (3,)."""
    # Pillow's luma is this formula in integers, and takes a fifth of the time.
    luma = np.asarray(Image.fromarray(pixels).convert("L"))
    mean, variance = _moments(luma)
    _, sharpness = _moments(_laplacian(luma))
    return np.array([mean / 255, math.sqrt(variance) / 255, sharpness], dtype=np.float32)


def _moments(values: NDArray[Any]) -> tuple[float, float]:
    """Mean and variance. The sums are exact to a millionth: at most 2^26 values of at most 2^10."""
    flat = values.ravel().astype(np.float32)
    mean = float(flat.mean())
    flat -= mean
    return mean, float(flat @ flat) / flat.size


def _laplacian(luma: NDArray[np.uint8]) -> NDArray[np.int16]:
    """In place, row by row and column by column: at least 2x2 pixels, else there is no neighbour to mirror."""
    edges = luma.astype(np.int16)
    around = edges.copy()
    edges *= -4
    for mine, theirs in ((edges, around), (edges.T, around.T)):
        if len(theirs) == 1:
            mine += 2 * theirs
            continue
        mine[1:] += theirs[:-1]
        mine[:-1] += theirs[1:]
        mine[0] += theirs[1]
        mine[-1] += theirs[-2]
    return edges


def dali_measures(pixels: Any) -> Any:
    """The same three measures as DALI operators on a batch of HWC UINT8 images; a batch of float32 (3,)."""
    from nvidia.dali import fn, types

    luma = fn.color_space_conversion(pixels, image_type=types.RGB, output_type=types.GRAY)
    mean = fn.reductions.mean(luma)
    edges = fn.laplacian(luma, window_size=3, smoothing_size=1, dtype=types.FLOAT)
    sharpness = fn.reductions.variance(edges, fn.reductions.mean(edges))
    return fn.stack(mean / 255.0, fn.reductions.std_dev(luma, mean) / 255.0, sharpness)
