"""Read the header of a BMP: OS/2 or Windows, bottom-up or top-down."""

from __future__ import annotations

from struct import Struct

from fovea_pipelines.headers.frame import Frame, Load, fields, not_served, require
from fovea_pipelines.headers.refusals import Damaged

_CORE, _OS2 = 12, 64
_INFO = frozenset((40, 52, 56, 64, 108, 124))  # BITMAPINFOHEADER, its extensions, and OS/2 2.0
_START = Struct("<10xII")  # where the pixels begin, size of the header
_CORE_SIZE = Struct("<HH")
_INFO_SIZE = Struct("<ii")
_CORE_BITS = Struct("<H")  # bits a pixel
_INFO_BITS = Struct("<HI")  # bits a pixel, compression
_WITH_PROFILE, _EMBEDDED = 124, b"DEBM"
_PROFILE_SIZE = Struct("<I")
_UNCOMPRESSED = frozenset((0, 3, 6))  # plain, and with masks of the colours
# What the decoders do not read, by compression and by bits a pixel; RLE8 (1) they do. Of 16 bits they read those with
# masks, but shift what Pillow scales: white is (248, 252, 248) then.
_COMPRESSED = {2: "compressed by RLE4", 4: "that holds a JPEG", 5: "that holds a PNG"}
_BITS = {2: "of 2 bits a pixel", 16: "of 16 bits a pixel"}
_MOST_PIXELS_A_SIDE = 2**31 - 1


def read(image: bytes) -> Frame:
    """The size in the header; a negative height means that the top row comes first."""
    pixels, header = fields(_START, image, 0, "the BMP header")
    if header != _CORE and header not in _INFO:
        raise Damaged(f"its BMP header claims {header:,} bytes; known are 12, 40, 52, 56, 64, 108 and 124")
    require(image, 14 + header, "the BMP header")
    if pixels > len(image):
        raise Damaged(f"its pixels begin at byte {pixels:,}; it has {len(image):,}")
    width, height = (_CORE_SIZE if header == _CORE else _INFO_SIZE).unpack_from(image, 18)
    if width < 0 or abs(height) > _MOST_PIXELS_A_SIDE:
        raise Damaged(f"{width}x{height} cannot be the size of a BMP")
    bits, compression = _coding(image, header)
    if header == _OS2 and compression in (3, 4):
        raise not_served("a BMP compressed as only OS/2 does")
    if what := _COMPRESSED.get(compression) or (_BITS.get(bits) if compression in _UNCOMPRESSED else None):
        raise not_served(f"a BMP {what}")
    if compression in _UNCOMPRESSED:
        # Cut short, the decoder would read rows of another length than they have.
        row = (width * bits + 31) // 32 * 4
        require(image, pixels + row * abs(height), "the BMP's pixels")
    return Frame(width, abs(height), load=Load(profile=_profile(image, header)))


def _profile(image: bytes, header: int) -> int:
    """The size of the colour profile that the fifth version of the header tells."""
    if header != _WITH_PROFILE or image[70:74] != _EMBEDDED:
        return 0
    (size,) = _PROFILE_SIZE.unpack_from(image, 130)
    return int(size)


def _coding(image: bytes, header: int) -> tuple[int, int]:
    """Bits a pixel, and how they are compressed."""
    if header == _CORE:
        return int(_CORE_BITS.unpack_from(image, 24)[0]), 0
    bits, compression = _INFO_BITS.unpack_from(image, 28)
    return bits, compression
