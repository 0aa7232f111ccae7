"""Read the header of a TIFF: what its first directory says of size and orientation (TIFF 6.0, Adobe 1992)."""

from __future__ import annotations

from struct import error

from fovea_pipelines.headers import directory, exif
from fovea_pipelines.headers.frame import Frame, not_served
from fovea_pipelines.headers.refusals import Damaged

_WIDTH, _HEIGHT = 0x0100, 0x0101
_WHAT = {_WIDTH: "width", _HEIGHT: "height", exif.ORIENTATION: "orientation"}
_SHORT, _LONG = 3, 4
_WITH_OFFSETS_OF_64_BITS = 43


def read(image: bytes) -> Frame:
    """The size as stored, and the orientation, of the first picture."""
    block = memoryview(image)
    try:
        said = _said(block, directory.BYTE_ORDERS[bytes(block[:2])])
    except error:
        raise Damaged(f"it ends after {len(image):,} bytes, before the end of its first directory") from None
    width, height = (_number(said, tag) for tag in (_WIDTH, _HEIGHT))
    turned = said.get(exif.ORIENTATION)
    return Frame(width, height, exif.valid(turned))


def _said(block: memoryview, order: str) -> dict[int, int | None]:
    """The numbers of the first directory that we need, by tag; None for what is not one SHORT or LONG."""
    mark, start = directory.begin(block, order)
    if mark == _WITH_OFFSETS_OF_64_BITS:
        raise not_served("a BigTIFF")
    said: dict[int, int | None] = {}
    for tag, kind, count, value, short in directory.entries(block, order, start, "its first directory"):
        if tag not in _WHAT:
            continue
        if tag in said:
            # Of two readers one would take the first and one the last.
            raise Damaged(f"its first directory says the {_WHAT[tag]} twice")
        said[tag] = {_SHORT: short, _LONG: value}.get(kind) if count == 1 else None
    return said


def _number(said: dict[int, int | None], tag: int) -> int:
    number = said.get(tag)
    if number is None:
        raise Damaged(f"its first directory does not say the {_WHAT[tag]} as one whole number")
    return number
