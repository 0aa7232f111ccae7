"""Read the header of a TIFF: what its first directory says of size and orientation (TIFF 6.0, Adobe 1992)."""

from __future__ import annotations

from struct import error

from fovea_pipelines.headers import directory, exif
from fovea_pipelines.headers.frame import Frame, Load, not_served
from fovea_pipelines.headers.refusals import Damaged

_WIDTH, _HEIGHT = 0x0100, 0x0101
_WHAT = {_WIDTH: "width", _HEIGHT: "height", exif.ORIENTATION: "orientation"}
_SHORT, _LONG = 3, 4
_WITH_OFFSETS_OF_64_BITS = 43
_PROFILE = 0x8773
_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # of one value, by its type; of all others 1
# Where the pixels are and how they are packed: strips, tiles, the colour map, JPEG tables.
_OF_PIXELS = frozenset((0x0111, 0x0117, 0x0140, 0x0144, 0x0145, 0x015B))
_MOST_PAGES = 2_000  # no more are counted


def read(image: bytes) -> Frame:
    """The size as stored, and the orientation, of the first picture."""
    block = memoryview(image)
    try:
        order = directory.BYTE_ORDERS[bytes(block[:2])]
        mark, start = directory.begin(block, order)
        if mark == _WITH_OFFSETS_OF_64_BITS:
            raise not_served("a BigTIFF")
        found = list(directory.entries(block, order, start, "its first directory"))
    except error:
        raise Damaged(f"it ends after {len(image):,} bytes, before the end of its first directory") from None
    said = _said(found)
    width, height = (_number(said, tag) for tag in (_WIDTH, _HEIGHT))
    turned = said.get(exif.ORIENTATION)
    pages = directory.count(block, order, start, _MOST_PAGES)
    return Frame(width, height, exif.valid(turned), load=_load(found, len(image), pages))


def _said(found: list[directory.Entry]) -> dict[int, int | None]:
    """The numbers that we need, by tag; None for what is not one SHORT or LONG."""
    said: dict[int, int | None] = {}
    for tag, kind, count, value, short in found:
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


def _load(found: list[directory.Entry], end: int, pages: int) -> Load:
    """What stands outside the first directory for it; values that would end behind the file are not there."""
    sizes = [(tag, value, count * _BYTES.get(kind, 1)) for tag, kind, count, value, _ in found if tag not in _OF_PIXELS]
    there = [(tag, size) for tag, value, size in sizes if size > 4 and value + size <= end]
    profile = sum(size for tag, size in there if tag == _PROFILE)
    return Load(sum(size for _, size in there) - profile, profile, pages)
