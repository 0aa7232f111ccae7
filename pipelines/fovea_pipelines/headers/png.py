"""Read the header of a PNG: its IHDR chunk, and the eXIf chunk wherever it stands."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from struct import Struct

from fovea_pipelines.headers import exif
from fovea_pipelines.headers.frame import Frame, fields, not_served, require
from fovea_pipelines.headers.refusals import Damaged

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_MOST_CHUNKS = 20_000  # 160 MB of the 8 KB chunks that libpng writes
_MOST_PIXELS_A_SIDE = 2**31 - 1
_ANIMATION = frozenset((b"acTL", b"fcTL", b"fdAT"))
_CHUNK = Struct(">I4s")
_IHDR = Struct(">I4sII")
_CRC = Struct(">I")


def read(image: bytes) -> Frame:
    """The size in IHDR and the orientation in eXIf.

    All chunks are stepped over, because the decoder believes an eXIf behind the pixels as well, and makes room for
    whatever length a chunk claims: 200 bytes can ask it for 4 GiB.
    """
    if not image.startswith(SIGNATURE):
        raise Damaged("its PNG signature is damaged, as by a transfer that changes the ends of lines")
    length, kind, width, height = fields(_IHDR, image, 8, "the PNG chunk IHDR")
    if (length, kind) != (13, b"IHDR"):
        raise Damaged(f"a PNG begins with an IHDR chunk of 13 bytes; this one with {_name(kind)} of {length:,}")
    if max(width, height) > _MOST_PIXELS_A_SIDE:
        raise Damaged(f"{width}x{height} is larger than any PNG can be")
    return Frame(width, height, exif.agreed(_orientations(image)))


def _orientations(image: bytes) -> Iterator[frozenset[int]]:
    for kind, start, end in _chunks(image):
        if kind in _ANIMATION:
            raise not_served("an animated PNG")
        if kind == b"eXIf":
            said = exif.orientations(memoryview(image)[start:end])
            # Of the decoder's two readers one drops a block with a wrong checksum.
            yield said if _is_intact(image, start, end) else said | {1}


def _chunks(image: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, begin and end of the data of each chunk before IEND."""
    position = 8
    for _ in range(_MOST_CHUNKS):
        length, kind = fields(_CHUNK, image, position, "the next PNG chunk")
        start = position + 8
        position = start + length + 4
        require(image, position, f"the PNG chunk {_name(kind)}")
        if kind == b"IEND":
            return
        yield kind, start, position - 4
    raise Damaged(f"it has more than {_MOST_CHUNKS:,} chunks")


def _is_intact(image: bytes, start: int, end: int) -> bool:
    """Whether the checksum after the data is that of the chunk's type and data."""
    (checksum,) = _CRC.unpack_from(image, end)
    return zlib.crc32(memoryview(image)[start - 4 : end]) == int(checksum)


def _name(kind: bytes) -> str:
    return kind.decode() if kind.isalpha() else kind.hex(" ")
