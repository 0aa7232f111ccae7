"""What every format's reader has in common: the frame it finds, and how it says that there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import Any

from fovea_pipelines.headers.refusals import Damaged, FormatNotServed


@dataclass(frozen=True)
class Load:
    """What an image carries besides the pixels of its first picture.

    metadata  bytes of EXIF, XMP, texts, comments and whatever else a reader of pixels steps over
    profile   bytes of its colour profiles (ICC), as stored
    frames    pictures it says it has; of a GIF at most 2,001, as far as its first 20,000 blocks
    """

    metadata: int = 0
    profile: int = 0
    frames: int = 1


@dataclass(frozen=True)
class Frame:
    """Size in pixels as stored, and the EXIF orientation, 1 to 8, that is to be applied to it.

    `unmarked_inks`: a JPEG of four inks that lacks Adobe's marker.
    `scan`: the byte at which the pixels of a JPEG begin, where one scan holds them all.
    """

    width: int
    height: int
    orientation: int = 1
    unmarked_inks: bool = False
    load: Load = field(default_factory=Load)
    scan: int = 0


def not_served(what: str) -> FormatNotServed:
    """The refusal of an image that is sound but not for us; `what` with its article: "a GIF"."""
    return FormatNotServed(f"this is {what}")


def fields(layout: Struct, image: bytes, offset: int, where: str) -> tuple[Any, ...]:
    """The fields at `offset`, or `Damaged` if the image ends before them; `where` names the place."""
    require(image, offset + layout.size, where)
    return layout.unpack_from(image, offset)


def require(image: bytes, end: int, where: str) -> None:
    """Refuse an image that ends before `end`."""
    if end > len(image):
        raise Damaged(f"it ends after {len(image):,} bytes, inside {where}; that takes {end:,}")
