"""Photographs of the three sizes that a GPU is measured with: as they are, full HD, and 12 megapixels.

The larger ones are the given ones scaled up: they have the size of a camera's files, and not all of their detail.
"""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from benchmarks import photographs
from benchmarks.photographs import CHECKOUT
from fovea_client.load.photographs import Photograph

AS_GIVEN = "as given"
_LARGER = {"1920x1080": (1920, 1080), "4000x3000": (4000, 3000)}
_COUNT = 32  # of each larger size
_CACHE = CHECKOUT / ".cache" / "gpu-photographs"
SIZES = (AS_GIVEN, *_LARGER)


def folders(images: Path | None) -> dict[str, Path]:
    """A folder for each size, made where it is not there yet."""
    given = photographs.read(images).images
    made = {AS_GIVEN: _written(AS_GIVEN, given)}
    for name, size in _LARGER.items():
        with ThreadPoolExecutor() as pool:
            made[name] = _written(name, list(pool.map(lambda each, size=size: _scaled(each, size), given[:_COUNT])))
    return made


def _written(name: str, images: tuple[Photograph, ...] | list[Photograph]) -> Path:
    folder = _CACHE / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for image in images:
        (folder / image.name).write_bytes(image.encoded)
    return folder


def _scaled(image: Photograph, size: tuple[int, int]) -> Photograph:
    buffer = io.BytesIO()
    opened = Image.open(io.BytesIO(image.encoded)).convert("RGB")
    opened.resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return Photograph(f"{Path(image.name).stem}.jpg", "image/jpeg", buffer.getvalue())
