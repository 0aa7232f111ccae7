"""An encoded image as another decoder would see it, written so that the reference reads just that.

Each function answers None where the image gives that decoder nothing to do differently.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms
from PIL.JpegImagePlugin import get_sampling

from fovea_pipelines.parity.encodings import ORIENTATION, saved

_BLOCKS = {1: (1, 2), 2: (2, 2)}  # pixels (down, across) for each sample of chroma, by Pillow's number for it
_STEPS = 6  # each leaves less than a third of the error


def nearest_chroma(image: bytes) -> bytes | None:
    """Chroma repeated over its block of pixels, where libjpeg blends neighbouring samples."""
    opened = Image.open(io.BytesIO(image))
    if opened.format != "JPEG" or opened.mode != "RGB" or get_sampling(opened) not in _BLOCKS:
        return None
    down, across = _BLOCKS[get_sampling(opened)]
    opened.draft("YCbCr", None)
    luma, *chroma = (np.asarray(plane) for plane in opened.split())
    repeated = [_repeated(_repeated(plane, across).T, down).T for plane in chroma]
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in (luma, *repeated)]
    return _written(Image.merge("YCbCr", planes).convert("RGB"), opened)


def _repeated(blended: NDArray[np.uint8], block: int) -> NDArray[np.uint8]:
    """Undo libjpeg's triangle filter along the rows, then repeat each sample `block` times."""
    if block == 1:
        return blended
    length = blended.shape[1]
    pairs = np.pad(blended.astype(np.float32), ((0, 0), (0, length % 2)), mode="edge").reshape(-1, (length + 1) // 2, 2)
    wanted = pairs.mean(axis=2)
    samples = wanted
    for _ in range(_STEPS):
        # The mean of a blended pair is (previous + 6 own + next) / 8.
        padded = np.pad(samples, ((0, 0), (1, 1)), mode="edge")
        samples = samples + wanted - (padded[:, :-2] + 6 * samples + padded[:, 2:]) / 8
    rounded = np.clip(np.rint(samples), 0, 255).astype(np.uint8)
    repeated: NDArray[np.uint8] = rounded.repeat(2, axis=1)[:, :length]
    return repeated


def over(image: bytes, background: str) -> bytes | None:
    """Composited over a colour, where the contract drops the alpha."""
    opened = Image.open(io.BytesIO(image))
    if not opened.has_transparency_data:
        return None
    canvas = Image.new("RGBA", opened.size, background)
    return _written(Image.alpha_composite(canvas, opened.convert("RGBA")).convert("RGB"), opened)


def by_its_profile(image: bytes) -> bytes | None:
    """Converted from its embedded profile to sRGB."""
    opened = Image.open(io.BytesIO(image))
    profile = opened.info.get("icc_profile")
    if not profile or opened.mode not in ("RGB", "CMYK"):
        return None
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(opened, embedded, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (OSError, ImageCms.PyCMSError):
        return None
    return None if converted is None else _written(converted, opened)


def inverted_ink(image: bytes) -> bytes | None:
    """CMYK taken for its negative."""
    opened = Image.open(io.BytesIO(image))
    if opened.mode != "CMYK":
        return None
    return _written(ImageChops.invert(opened).convert("RGB"), opened)


def _written(image: Image.Image, original: Image.Image) -> bytes:
    """Losslessly, with the orientation of the original."""
    exif = Image.Exif()
    exif[ORIENTATION] = original.getexif().get(ORIENTATION, 1)
    return saved(image, "PNG", compress_level=0, exif=exif)
