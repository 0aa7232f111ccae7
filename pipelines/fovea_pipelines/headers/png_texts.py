"""What the texts of a PNG say of its orientation where its eXIf does not: EXIF as ImageMagick writes it, and XMP."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from fovea_pipelines.headers import exif, xmp

_XMP = b"XML:com.adobe.xmp"
_RAW_EXIF = b"Raw profile type exif"
_PREFIX = b"Exif\0\0"
_MOST_UNPACKED = 1 << 20  # bytes of a text that are looked at

Text = tuple[bytes, bytes]  # type of the chunk, its data


def orientation(texts: Iterable[Text]) -> int:
    """Of the last text of each kind, as Pillow keeps them. Raises Damaged where its EXIF can be read in two ways."""
    said = {keyword: (kind, rest) for kind, keyword, rest in _keywords(texts) if keyword in (_RAW_EXIF, _XMP)}
    found = exif.agreed([exif.orientations(_raw(*said[_RAW_EXIF]))]) if _RAW_EXIF in said else exif.NOTHING
    if found == exif.NOTHING and _XMP in said:
        return xmp.orientation(_international(*said[_XMP]))
    return found or exif.UPRIGHT


def _keywords(texts: Iterable[Text]) -> Iterable[tuple[bytes, bytes, bytes]]:
    for kind, data in texts:
        keyword, _, rest = data.partition(b"\0")
        yield kind, keyword, rest


def _raw(kind: bytes, rest: bytes) -> memoryview:
    """The block in a tEXt or zTXt: an empty line, the name, the length, then lines of hexadecimal digits."""
    text = _unpacked(rest[1:]) if kind == b"zTXt" else rest
    try:
        block = bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode())
    except ValueError:  # no digits
        return memoryview(b"")
    return memoryview(block.removeprefix(_PREFIX))


def _international(kind: bytes, rest: bytes) -> bytes:
    """The text of an iTXt, behind two flags, a language and a translated keyword (PNG, 11.3.3.4)."""
    if kind != b"iTXt":
        return b""
    text = rest[2:].split(b"\0", 2)[-1]
    return _unpacked(text) if rest[:1] == b"\1" else text


def _unpacked(compressed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(compressed, _MOST_UNPACKED)
    except zlib.error:
        return b""
