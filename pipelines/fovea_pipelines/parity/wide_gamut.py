"""A colour profile whose primaries are wider than sRGB's, made by hand: who applies it, changes colours clearly.

The form is ICC.1:2001-04's for a display of three primaries and a gamma. The numbers are those of the Adobe RGB (1998)
Color Image Encoding, May 2005: its white, its gamma of 563/256, and its primaries as Bradford's adaptation to D50 has
them.
"""

from __future__ import annotations

import struct

_D50 = (0.9642, 1.0, 0.8249)
_WHITE = (0.95045, 1.0, 1.08905)
_PRIMARIES = {
    b"rXYZ": (0.60974, 0.31111, 0.01947),
    b"gXYZ": (0.20528, 0.62567, 0.06087),
    b"bXYZ": (0.14919, 0.06322, 0.74457),
}
_GAMMA = 563  # of 256, 2.19921875
_HEADER_SIZE = 128


def profile() -> bytes:
    """The same bytes each time."""
    tags = {
        b"desc": _description(b"wide gamut"),
        b"cprt": b"text\0\0\0\0" + b"none\0",
        b"wtpt": _xyz(_WHITE),
        **{name: _xyz(primary) for name, primary in _PRIMARIES.items()},
        **{name: _curve(_GAMMA) for name in (b"rTRC", b"gTRC", b"bTRC")},
    }
    table, content = b"", b""
    begin = _HEADER_SIZE + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += struct.pack(">4sII", name, begin + len(content), len(tag))
        content += tag + b"\0" * (-len(tag) % 4)
    return _header(begin + len(content)) + struct.pack(">I", len(tags)) + table + content


def _header(size: int) -> bytes:
    """Of version 2.4: a display, RGB to XYZ, made on the first day of 2001; rendering is perceptual."""
    fields = struct.pack(">I4xI4s4s4s6H4s", size, 0x0240_0000, b"mntr", b"RGB ", b"XYZ ", 2001, 1, 1, 0, 0, 0, b"acsp")
    return (fields.ljust(68, b"\0") + _fixed(_D50)).ljust(_HEADER_SIZE, b"\0")


def _description(text: bytes) -> bytes:
    """Only in ASCII; Unicode and Macintosh's script, which follow, are empty."""
    return b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(4 + 4 + 2 + 1 + 67)


def _xyz(colour: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(colour)


def _curve(gamma: int) -> bytes:
    """One number alone is an exponent, in 1/256."""
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, gamma)


def _fixed(values: tuple[float, float, float]) -> bytes:
    """In 1/65536, signed."""
    return struct.pack(">3i", *(round(value * 65536) for value in values))
