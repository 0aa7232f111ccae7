"""Images made for drills: large, tiny, and bad in every way that a header or a decoder can tell."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def large_png(width: int = 4000, height: int = 3000) -> bytes:
    """Twelve megapixels in few bytes: slow to decode, quick to send."""
    rows, columns = np.ogrid[:height, :width]
    pixels = np.stack(np.broadcast_arrays(rows % 256, columns % 256, (rows + columns) % 256), axis=-1)
    return _encoded(pixels.astype(np.uint8), "PNG", compress_level=1)


def thumbnail(side: int = 64) -> bytes:
    return _encoded(np.full((side, side, 3), 128, np.uint8), "JPEG")


def bad(photograph: bytes) -> list[tuple[bytes, int]]:
    """Bad images made of a good one, each with the HTTP status that it must get."""
    damaged = bytearray(photograph)
    damaged[len(damaged) // 4 :: 97] = b"\xff" * len(damaged[len(damaged) // 4 :: 97])
    return [
        (b"", 400),
        (b"GIF" + bytes(500), 415),
        (bytes(range(256)) * 40, 415),
        (photograph[:200], 422),
        (_png_header(60_000, 60_000), 422),
        (bytes(damaged), 0),  # some decoders make a picture of it; anything typed will do
    ]


def _png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(b"")) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _encoded(pixels: np.ndarray, encoding: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, encoding, **options)
    return file.getvalue()
