"""Images that promise far more than they hold, or hold far more than they promise, made by code."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from fovea_server import errors
from fovea_server.errors import FoveaError

_FRAMES = 10_000
_WORST = 64 << 20  # bytes that a small stream unpacks to
_PIXEL = b"\x2f\0\0\0\0\x07\x10\x11\x11\x88\x88\xfe\x07\0"  # a WebP of one lossless pixel
_PNG = b"\x89PNG\r\n\x1a\n"


def bombs() -> Iterator[tuple[str, bytes, type[FoveaError]]]:
    """A name, the image, and how it is to be refused."""
    yield "JPEG of 65535x65535", jpeg(65_535, 65_535), errors.TooManyPixels
    yield "PNG of 2147483647x2147483647", png(2**31 - 1, 2**31 - 1), errors.TooManyPixels
    yield "PNG of 1000000x1", png(1_000_000, 1), errors.SideTooLong
    yield "WebP of 16777216x16777216", webp(2**24, 2**24, 0), errors.TooManyPixels
    yield "BMP of 2147483647x1, compressed", bmp(2**31 - 1, 1), errors.TooManyPixels
    yield "PNG of 10,000 frames", apng(_FRAMES), errors.FormatNotServed
    yield "WebP of 10,000 frames", animated_webp(_FRAMES), errors.FormatNotServed
    yield "PNG of 37x23 that unpacks to 64 MiB", png(37, 23, pixels=packed(_WORST)), errors.Undecodable
    yield (
        "PNG with 1,000 texts of 8 MB each",
        png(37, 23, chunk(b"zTXt", b"k\0\0" + packed(8_000_000)) * 1000),
        (errors.Undecodable),
    )
    yield "PNG of 1,600,000 chunks", png(37, 23, chunk(b"tEXt", b"") * 1_600_000), errors.Undecodable
    yield "PNG with 9 MB of text", png(37, 23, chunk(b"tEXt", bytes(9_000_000))), errors.TooMuchMetadata
    yield "PNG with a profile of 5 MB", png(37, 23, chunk(b"iCCP", bytes(5_000_000))), errors.ProfileTooLarge
    yield "JPEG of 4,900,000 segments", jpeg(37, 23, b"\xff\xfe\0\2" * 4_900_000), errors.Undecodable
    yield "JPEG with 9 MB of comments", jpeg(37, 23, segment(0xFE, bytes(65_000)) * 139), errors.TooMuchMetadata
    yield (
        "JPEG with profiles of 5 MB",
        jpeg(37, 23, segment(0xE2, b"ICC_PROFILE\0" + bytes(65_000)) * 78),
        (errors.ProfileTooLarge),
    )
    yield "19 MB of FF", b"\xff\xd8" + b"\xff" * 19_000_000, errors.Undecodable
    yield "64 MiB", jpeg(37, 23) + bytes(_WORST), errors.TooManyBytes


def packed(count: int) -> bytes:
    """Zeros, compressed to a thousandth."""
    return zlib.compress(bytes(count), 9)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, more: bytes = b"", pixels: bytes = b"") -> bytes:
    """An RGB PNG; `more` are chunks before the pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return _PNG + head + more + chunk(b"IDAT", pixels or packed(100)) + chunk(b"IEND", b"")


def apng(frames: int) -> bytes:
    """One pixel, again and again."""
    control = struct.pack(">IIIIHHBB", 1, 1, 0, 0, 1, 10, 0, 0)
    pixel = zlib.compress(bytes(4))
    more = b"".join(
        chunk(b"fcTL", struct.pack(">I", 2 * number) + control)
        + chunk(b"fdAT", struct.pack(">I", 2 * number + 1) + pixel)
        for number in range(frames)
    )
    return png(1, 1, chunk(b"acTL", struct.pack(">II", frames, 0)) + more, pixel)


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg(width: int, height: int, more: bytes = b"") -> bytes:
    """A header and no pixels."""
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0"
    return b"\xff\xd8" + more + segment(0xC0, frame) + segment(0xDA, b"\1\1\0\0\x3f\0") + b"\0\xff\xd9"


def _riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _side(pixels: int) -> bytes:
    return struct.pack("<I", pixels - 1)[:3]


def webp(width: int, height: int, flags: int, *chunks: tuple[bytes, bytes]) -> bytes:
    head = bytes((flags, 0, 0, 0)) + _side(width) + _side(height)
    return _riff((b"VP8X", head), *(chunks or [(b"VP8L", _PIXEL)]))


def animated_webp(frames: int) -> bytes:
    """One pixel, again and again."""
    place = bytes(6) + _side(1) + _side(1) + b"\x0a\0\0\0"
    inner = b"VP8L" + struct.pack("<I", len(_PIXEL)) + _PIXEL
    return webp(1, 1, 0x02, (b"ANIM", bytes(6)), *[(b"ANMF", place + inner)] * frames)


def bmp(width: int, height: int) -> bytes:
    """Run-length encoded, so that its size says nothing of its pixels."""
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 62, 0, 0, 54, 40, width, height, 1, 8, 1, 8, 0, 0, 0, 0) + bytes(8)


def gif(frames: int, comment: bytes = b"") -> bytes:
    """One pixel, again and again; the comment stands before the first."""
    text = b"".join(
        bytes([len(part)]) + part for part in (comment[at : at + 255] for at in range(0, len(comment), 255))
    )
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0"
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    return head + (b"\x21\xfe" + text + b"\0" if comment else b"") + picture * frames + b"\x3b"


def tiff(pages: int, *entries: tuple[int, int, int, int]) -> bytes:
    """One pixel a page; `entries` are further ones of the first page: tag, type, count, value."""
    made, position = b"II*\0\x08\0\0\0", 8
    for page in range(pages):
        every = sorted([(256, 3, 1, 1), (257, 3, 1, 1), *(entries if page == 0 else ())])
        position += 2 + 12 * len(every) + 4
        rows = b"".join(struct.pack("<HHII", *entry) for entry in every)
        made += struct.pack("<H", len(every)) + rows + struct.pack("<I", position if page < pages - 1 else 0)
    return made
