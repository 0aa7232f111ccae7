"""The orientation in an XMP packet, which counts where EXIF says nothing: as Pillow's `Image.getexif` has it."""

from __future__ import annotations

import re

from fovea_pipelines.headers import exif

MOST = 1 << 18  # bytes of a packet that are looked at
_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def orientation(packet: bytes) -> int:
    """1 where it says none, or one that does not exist."""
    said = _ORIENTATION.search(packet, 0, MOST)
    return exif.valid(int(said[1])) if said else exif.UPRIGHT
