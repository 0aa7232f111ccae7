"""Photographs of a camera's size, made from smaller ones: enlarged, and with the noise of a sensor.

Enlarged alone they would be smooth, half as many bytes (0.7 to 1.8 MB instead of 1.7 to 2.3 at 12 megapixels), and
decoded faster than a camera's. Noise of a sensor is of two parts: photons arrive at random, so that its variance grows
with the light, and reading out adds a constant (EMVA Standard 1288, "mathematical model").
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import photographs
from benchmarks.photographs import CHECKOUT, Photographs
from fovea_client.load.photographs import Photograph

TWELVE_MEGAPIXELS = (4000, 3000)
COUNT = 24  # of each size
_CACHE = CHECKOUT / ".cache" / "photographs"
_QUALITY = 90
# Standard deviations in steps of 255: of reading out, and of the light at full white.
_READ_OUT, _LIGHT = 1.5, 5.0


def twelve_megapixels(images: Path | None) -> Photographs:
    """At most 24 of the photographs at 4000x3000, made once and kept under .cache/."""
    given = photographs.read(images)
    folder = written(given.images[:COUNT], TWELVE_MEGAPIXELS)
    return photographs.of(f"{given.source} enlarged to 4000x3000 with sensor noise", folder)


def written(given: Sequence[Photograph], size: tuple[int, int]) -> Path:
    """A folder with each of them at `size`, (width, height), as JPEG."""
    folder = _CACHE / f"{size[0]}x{size[1]}"
    made_of = folder.with_suffix(".json")  # written last
    known = json.dumps({image.name: zlib.crc32(image.encoded) for image in given})
    if made_of.is_file() and made_of.read_text(encoding="utf-8") == known:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    with ThreadPoolExecutor() as pool:
        for image, larger in zip(given, pool.map(lambda each: enlarged(each, size), given), strict=True):
            (folder / f"{Path(image.name).stem}.jpg").write_bytes(larger)
    made_of.write_text(known, encoding="utf-8")
    return folder


def enlarged(image: Photograph, size: tuple[int, int]) -> bytes:
    """A JPEG of `size`, (width, height); the same one every time."""
    opened = Image.open(io.BytesIO(image.encoded)).convert("RGB")
    pixels = np.asarray(opened.resize(size, Image.Resampling.BICUBIC), np.float32)
    noise = np.random.default_rng(zlib.crc32(image.encoded)).standard_normal(pixels.shape, np.float32)
    deviation = np.sqrt(_READ_OUT**2 + _LIGHT**2 * pixels / 255)
    buffer = io.BytesIO()
    noisy = np.clip(pixels + noise * deviation, 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
