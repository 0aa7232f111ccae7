"""Photographs of the three sizes that a GPU is measured with: as they are, full HD, and 12 megapixels."""

from __future__ import annotations

from pathlib import Path

from benchmarks import enlarged, photographs
from benchmarks.enlarged import TWELVE_MEGAPIXELS

AS_GIVEN = "as given"
_LARGER = {"1920x1080": (1920, 1080), "4000x3000": TWELVE_MEGAPIXELS}
SIZES = (AS_GIVEN, *_LARGER)


def folders(images: Path | None) -> dict[str, Path]:
    """A folder, or the one file that there is, for each size; the larger ones are made where they are not there yet."""
    given = photographs.read(images)
    larger = {name: enlarged.written(given.images[: enlarged.COUNT], size) for name, size in _LARGER.items()}
    return {AS_GIVEN: given.path, **larger}
