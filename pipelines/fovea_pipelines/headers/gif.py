"""Read the header of a GIF: its screen, and where on it the first picture stands."""

from __future__ import annotations

from struct import Struct

from fovea_pipelines.headers.frame import Frame, fields, require
from fovea_pipelines.headers.refusals import Damaged

_EXTENSION, _PICTURE, _TRAILER = 0x21, 0x2C, 0x3B
_MOST_BLOCKS = 20_000  # before the first picture, 5 MB of comments and metadata
_SCREEN = Struct("<6xHHB2x")  # width, height, flags
_PLACE = Struct("<xHHHHB")  # left, top, width, height, flags
_HAS_COLOURS, _BITS = 0x80, 0x07


def read(image: bytes) -> Frame:
    """The size of the screen, grown to hold the first picture where that stands out of it, as browsers show it."""
    width, height, flags = fields(_SCREEN, image, 0, "the GIF's screen")
    place = _first_picture(image, _SCREEN.size + _colours(flags))
    left, top, across, down, flags = fields(_PLACE, image, place, "the GIF's first picture")
    if not across or not down:
        raise Damaged(f"its first picture is {across}x{down}, which has no pixels")
    require(image, place + _PLACE.size + _colours(flags) + 2, "the GIF's first picture")
    return Frame(max(width, left + across), max(height, top + down))


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
        position += 2
        while True:
            blocks += 1
            if blocks > _MOST_BLOCKS:
                raise Damaged(f"it has more than {_MOST_BLOCKS:,} blocks before its first picture")
            require(image, position + 1, "the GIF's blocks")
            length = image[position]
            position += length + 1
            if not length:
                break
