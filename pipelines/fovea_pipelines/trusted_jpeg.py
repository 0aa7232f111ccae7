"""Which JPEGs a GPU's decoder is given; the CPU's decoder judges all others."""

from __future__ import annotations

_FRAMES = frozenset((0xC0, 0xC1, 0xC2))  # baseline, extended, progressive
_FILL = 0xFF
_TAIL = 64  # bytes that may follow the end of the image


def is_trusted(jpeg: bytes) -> bool:
    """Of a JPEG whose header was read: whether it has one component or three, and its end.

    nvJPEG may make grey of what a cut one lacks and say nothing, and of four inks it need not make what Pillow does.
    """
    return jpeg.rfind(b"\xff\xd9", -_TAIL - 2) >= 0 and _components(jpeg) in (1, 3)


def _components(jpeg: bytes) -> int:
    """As its frame header says, found segment by segment (ITU-T T.81, B.2.2); 0 where there is none."""
    position = 2
    while position + 10 <= len(jpeg):
        marker = jpeg[position + 1]
        if marker == _FILL:
            position += 1
        elif marker in _FRAMES:
            return jpeg[position + 9]
        else:
            position += 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
    return 0
