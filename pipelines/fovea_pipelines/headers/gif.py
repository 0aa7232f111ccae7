"""Read the header of a GIF: its screen, where on it the first picture stands, and how many follow (GIF89a, 1990)."""

from __future__ import annotations

from struct import Struct

from fovea_pipelines.headers.frame import Frame, Load, fields, require
from fovea_pipelines.headers.refusals import Damaged

_EXTENSION, _PICTURE, _TRAILER = 0x21, 0x2C, 0x3B
_MOST_BLOCKS = 20_000  # 5 MB: before the first picture no more is served, behind it no more is looked at
_MOST_PICTURES = 2_000  # that are counted
_SCREEN = Struct("<6xHHB2x")  # width, height, flags
_PLACE = Struct("<xHHHHB")  # left, top, width, height, flags
_HAS_COLOURS, _BITS = 0x80, 0x07


def read(image: bytes) -> Frame:
    """The size of the screen, grown to hold the first picture where that stands out of it, as browsers show it."""
    width, height, flags = fields(_SCREEN, image, 0, "the GIF's screen")
    begin = _SCREEN.size + _colours(flags)
    place = _first_picture(image, begin)
    left, top, across, down, flags = fields(_PLACE, image, place, "the GIF's first picture")
    if not across or not down:
        raise Damaged(f"its first picture is {across}x{down}, which has no pixels")
    require(image, place + _PLACE.size + _colours(flags) + 2, "the GIF's first picture")
    load = Load(metadata=place - begin, frames=_pictures(image, place))
    return Frame(max(width, left + across), max(height, top + down), load=load)


def _colours(flags: int) -> int:
    """The bytes of the colour table that the flags announce."""
    return 3 << (flags & _BITS) + 1 if flags & _HAS_COLOURS else 0


def _first_picture(image: bytes, position: int) -> int:
    """Where the first picture's descriptor stands, behind any number of extensions."""
    blocks = 0
    while True:
        require(image, position + 2, "the GIF's blocks")
        kind = image[position]
        if kind == _PICTURE:
            return position
        if kind == _TRAILER:
            raise Damaged("it ends before its first picture")
        if kind != _EXTENSION:
            raise Damaged(f"the block at byte {position:,} begins with {kind:02x}, which is no block of a GIF")
        position, passed = _behind_blocks(image, position + 2, _MOST_BLOCKS - blocks)
        blocks += passed
        if blocks > _MOST_BLOCKS:
            raise Damaged(f"it has more than {_MOST_BLOCKS:,} blocks before its first picture")


def _pictures(image: bytes, position: int) -> int:
    """How many begin from here on, as far as the blocks can be followed and it is worth knowing."""
    pictures = blocks = 0
    while pictures <= _MOST_PICTURES and blocks <= _MOST_BLOCKS and position + _PLACE.size < len(image):
        if image[position] == _PICTURE:
            pictures += 1
            position += _PLACE.size + _colours(image[position + _PLACE.size - 1]) + 1
        elif image[position] == _EXTENSION:
            position += 2
        else:
            break
        try:
            position, passed = _behind_blocks(image, position, _MOST_BLOCKS - blocks)
        except Damaged:
            break
        blocks += passed
    return pictures


def _behind_blocks(image: bytes, position: int, most: int) -> tuple[int, int]:
    """Behind the block of length 0 that ends a chain, and how many were passed: at most one more than `most`."""
    passed, length = 0, 1
    while length and passed <= most:
        require(image, position + 1, "the GIF's blocks")
        length = image[position]
        position += length + 1
        passed += 1
    return position, passed
