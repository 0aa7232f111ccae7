"""Three measures of an image's quality, as formulas; DALI computes the same inside the preprocessing pipeline.

All are taken on the luma of the pixels the model sees: Y = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded to
0..255.

brightness   mean(Y) / 255                       0 is black, 1 is white
contrast     standard deviation of Y / 255       root-mean-square contrast (Peli 1990); at most 0.5
sharpness    variance of the Laplacian of Y      kernel [0 1 0; 1 -4 1; 0 1 0], borders mirrored without repeating
                                                 the edge (Pech-Pacheco et al. 2000); 0 is flat, blur lowers it
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def measure(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness, contrast and sharpness of one image of shape (height, width, 3); float32 of shape (3,)."""
    luma = np.rint(pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114]))
    edges = _laplacian(luma)
    return np.array([luma.mean() / 255, luma.std() / 255, edges.var()], dtype=np.float32)


def _laplacian(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    padded = np.pad(luma, 1, mode="reflect")
    across = padded[1:-1, :-2] + padded[1:-1, 2:]
    down = padded[:-2, 1:-1] + padded[2:, 1:-1]
    return across + down - 4 * luma


def dali_measures(pixels: Any) -> Any:
    """The same three measures as DALI operators on a batch of HWC UINT8 images; a batch of float32 (3,)."""
    from nvidia.dali import fn, types

    luma = fn.color_space_conversion(pixels, image_type=types.RGB, output_type=types.GRAY)
    mean = fn.reductions.mean(luma)
    edges = fn.laplacian(luma, window_size=3, smoothing_size=1, dtype=types.FLOAT)
    sharpness = fn.reductions.variance(edges, fn.reductions.mean(edges))
    return fn.stack(mean / 255.0, fn.reductions.std_dev(luma, mean) / 255.0, sharpness)
