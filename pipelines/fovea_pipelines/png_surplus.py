"""PNGs whose pixels unpack to far more than they show: a decoder unpacks all of it, only to throw it away.

The header tells most of them. Where it claims many pixels it does not: 20 MB may then unpack to 20 GB, 40 s of a
decoder. Such a PNG is unpacked here first, as far as it may go and no further.
"""

from __future__ import annotations

import zlib

from fovea_pipelines.headers import Damaged, Header, png

_RATIO = 1032  # deflate makes no more of a byte (RFC 1951: 258 bytes for two bits)
_SOON = 1 << 30  # bytes; a decoder throws them away in 2 s
_PIECE = 8192  # bytes unpacked at once, to 8 MB at most


def check(image: bytes, header: Header) -> None:
    """Raise Damaged where the decoder would be kept busy by what no pixel needs."""
    if header.format != "png" or len(image) * _RATIO < _SOON:
        return
    most = png.unpacked(image, header.width, header.height)
    if sum(map(len, png.pixels(image))) * _RATIO < most + _SOON:
        return
    if _unpacks_beyond(image, most):
        raise Damaged(f"its pixels unpack to more than the {most:,} bytes that {header.width}x{header.height} take")


def _unpacks_beyond(image: bytes, most: int) -> bool:
    """Whether it does before its stream ends, or breaks off, which is for the decoder to judge."""
    stream, count = zlib.decompressobj(), 0
    try:
        for chunk in png.pixels(image):
            for begin in range(0, len(chunk), _PIECE):
                count += len(stream.decompress(chunk[begin : begin + _PIECE]))
                if count > most or stream.eof:
                    return count > most
    except zlib.error:
        pass
    return False
