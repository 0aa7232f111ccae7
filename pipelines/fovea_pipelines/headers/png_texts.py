"""What the texts of a PNG say of its orientation where its eXIf does not: EXIF as ImageMagick writes it, and XMP."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from fovea_pipelines.headers import exif, xmp

_XMP = b"XML:com.adobe.xmp"
_RAW_EXIF = b"Raw profile type exif"
KEYWORDS = (_XMP + b"\0", _RAW_EXIF + b"\0")
_PREFIX = b"Exif\0\0"
_MOST = xmp.MOST  # bytes of a text that are looked at; a block of EXIF has 64 KiB, and twice as many digits
_LINES_BEFORE = 3  # the digits: an empty one, the name, the length

Text = tuple[bytes, memoryview]  # type of the chunk, its data


def orientation(last_first: Iterable[Text]) -> int:
    """Of the last text of each kind, as Pillow keeps them; each begins with one of `KEYWORDS`.

    Raises Damaged where its EXIF can be read in two ways.
    """
    said: dict[bytes, bytes] = {}
    for kind, data in last_first:
        keyword = _XMP if data[: len(_XMP)] == _XMP else _RAW_EXIF
        if keyword not in said and (text := _text(kind, data[len(keyword) + 1 :])) is not None:
            said[keyword] = text
    found = exif.agreed([exif.orientations(_block(said[_RAW_EXIF]))]) if _RAW_EXIF in said else exif.NOTHING
    if found == exif.NOTHING and _XMP in said:
        return xmp.orientation(said[_XMP])
    return found or exif.UPRIGHT


def _text(kind: bytes, rest: memoryview) -> bytes | None:
    """Behind the keyword: of an iTXt two flags, a language and a translated keyword (PNG, 11.3.3.4)."""
    if kind == b"tEXt":
        return bytes(rest[:_MOST])
    if kind == b"zTXt":
        return _unpacked(rest[1:])
    behind = bytes(rest[2 : 2 + _MOST]).split(b"\0", 2)
    if len(behind) < 3 or rest[0] > 1 or (rest[0] and rest[1]):
        return None
    begin = 2 + len(behind[0]) + len(behind[1]) + 2
    return _unpacked(rest[begin:]) if rest[0] else behind[2]


def _block(text: bytes) -> memoryview:
    """Behind those lines, lines of hexadecimal digits."""
    lines = text.split(b"\n", _LINES_BEFORE)
    try:
        block = bytes.fromhex(lines[_LINES_BEFORE].replace(b"\n", b"").decode())
    except (IndexError, ValueError):  # no digits
        return memoryview(b"")
    return memoryview(block.removeprefix(_PREFIX))


def _unpacked(compressed: memoryview) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(compressed, _MOST)
    except zlib.error:
        return None
