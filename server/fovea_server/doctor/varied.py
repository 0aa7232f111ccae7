"""One picture as several of different lengths, so that a test of merging is not flattered by equal shapes."""

from __future__ import annotations

_START = b"\xff\xd8"


def lengths(image: bytes, count: int) -> list[bytes]:
    """The same JPEG with a comment (ITU-T T.81, B.2.4.5) of 0 to `count` - 1 characters; another format as it is."""
    if not image.startswith(_START):
        return [image]
    return [_START + b"\xff\xfe" + (size + 2).to_bytes(2, "big") + b"." * size + image[2:] for size in range(count)]
