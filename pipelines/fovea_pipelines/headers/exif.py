"""The orientation in an EXIF block, as every reader behind us would see it.

The decoder reads EXIF twice: nvImageCodec to lay out the buffer, OpenCV to rotate the pixels into it. They differ on
damaged blocks, and where one rotates by a quarter and the other does not, pixels are written past the buffer and the
process dies (nvImageCodec 0.9). So a block that can be read in more than one way is refused here.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import error

from fovea_pipelines.headers import directory
from fovea_pipelines.headers.refusals import Damaged

ORIENTATION = 0x0112

NOTHING = 0  # in place of an orientation, where a block says none
UPRIGHT = 1
_SHORT, _LONG, _SIGNED_SHORT, _SIGNED_LONG = 3, 4, 8, 9  # types of values (TIFF 6.0, section 2)
_MOST_BLOCKS = 4
_TEXTS = frozenset((0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x8298))
# Bytes of rationals behind the offset of each such tag.
_RATIONALS = {0x011A: 8, 0x011B: 8, 0x013E: 16, 0x013F: 48, 0x0211: 24, 0x0214: 48}


def agreed(blocks: Iterable[frozenset[int]]) -> int:
    """The one orientation that all EXIF blocks of an image say; NOTHING where none says any."""
    found: set[int] = set()
    for number, said in enumerate(blocks):
        if number == _MOST_BLOCKS:
            raise Damaged(f"it has more than {_MOST_BLOCKS} EXIF blocks")
        found |= said
    choices = {orientation or UPRIGHT for orientation in found}
    if len(choices) > 1:
        listed = " or ".join(str(orientation) for orientation in sorted(choices))
        raise Damaged(f"its EXIF can be read as orientation {listed}")
    return max(found, default=NOTHING)


def orientations(block: memoryview) -> frozenset[int]:
    """What readers may take for the orientation in a TIFF block: one value, and 1 as well where it is damaged; NOTHING
    alone where nobody finds any."""
    order = directory.BYTE_ORDERS.get(bytes(block[:2]))
    # Without a byte order the decoder's reader goes on as if it were "MM".
    orientation, intact = _first_directory(block, order or ">")
    if orientation == NOTHING or (intact and order):
        return frozenset((orientation,))
    return frozenset((orientation, UPRIGHT))


def valid(orientation: int | None) -> int:
    """The orientation, or upright where there is none or no such orientation exists."""
    return orientation if orientation is not None and 1 <= orientation <= 8 else UPRIGHT


def _first_directory(block: memoryview, order: str) -> tuple[int, bool]:
    """The orientation of the first directory, and whether a reader gets through all of it."""
    orientation = NOTHING
    try:
        mark, start = directory.begin(block, order)
        if mark != directory.CLASSIC:
            return NOTHING, False
        for tag, kind, count, value, short in directory.entries(block, order, start, "its EXIF"):
            if tag == ORIENTATION and orientation == NOTHING:
                orientation = valid(_number(kind, value, short))
            if _end_of_value(tag, count, value) > len(block):
                return orientation, False
    except error:
        return orientation, False
    return orientation, True


def _number(kind: int, value: int, short: int) -> int | None:
    """By its type, as Pillow reads it; EXIF says SHORT, and some writers do otherwise."""
    if kind in (_SHORT, _SIGNED_SHORT):
        return short
    return value if kind in (_LONG, _SIGNED_LONG) else None


def _end_of_value(tag: int, count: int, value: int) -> int:
    if tag in _TEXTS and count > 4:
        return value + count
    if tag in _RATIONALS:
        return value + _RATIONALS[tag]
    return 0
