"""The photographs that a measurement sends.

They are read once and sent as they are: nothing is decoded here, so a file that is not an image is an error of the
server's to report.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fovea_client import images
from fovea_client.load.errors import NoPhotographs

_MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
}


@dataclass(frozen=True)
class Photograph:
    name: str
    media_type: str
    encoded: bytes


def read(path: Path) -> tuple[Photograph, ...]:
    """A file, or the images of a folder in an order that is the same every time. Raises NoPhotographs."""
    try:
        found = [_photograph(Path(each)) for each in images.find(str(path), images.ALWAYS_SERVED)]
    except FileNotFoundError as error:
        raise NoPhotographs(f"{path} does not exist", "name another folder with --images") from error
    except OSError as error:
        raise NoPhotographs(f"{error.filename} cannot be read: {error.strerror}", "check its permissions") from error
    if not found:
        raise NoPhotographs(
            f"{path} holds no photographs ({', '.join(sorted(images.ALWAYS_SERVED))})",
            "name a folder of them with --images",
        )
    # Sorted by class, neighbours resemble each other in size; one seed for all, so that every line sees one order.
    random.Random(0).shuffle(found)  # noqa: S311 - an order, not a secret
    return tuple(found)


def mean_kilobytes(photographs: Sequence[Photograph]) -> float:
    """Of the encoded bytes, in thousands."""
    return sum(len(image.encoded) for image in photographs) / len(photographs) / 1000


def _photograph(path: Path) -> Photograph:
    return Photograph(path.name, _MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream"), path.read_bytes())
