"""JPEGs whose pixels break off at a marker that does not belong there, or have no end: Pillow reads them, not DALI.

On such a file nvImageCodec 0.9 forgets its pixels, 0.7 MB at 600x400, and never gives the memory back.
"""

from __future__ import annotations

import io
import re
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fovea_pipelines.headers import Damaged, Header

_STUFFED, _RESTART, _END = 0x00, 0xD0, 0xD9  # ITU-T T.81, B.1.1: FF 00 is a byte FF; FF D0 to FF D7 restart
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_CARRIED = frozenset((0xDC, *range(0xE0, 0xF0), 0xFE))  # DNL, APP0 to APP15 and comments: a decoder steps over them


def is_one(image: NDArray[np.uint8], header: Header) -> bool:
    """Whether the only scan of this JPEG, UINT8 (n,), is followed by anything but its end."""
    if header.format != "jpeg" or not header.scan:
        return False
    scan = image[header.scan :]
    candidates = scan[:-1] == 0xFF
    candidates &= scan[1:] != _STUFFED
    first = int(candidates.argmax()) if candidates.size else 0
    if scan[first : first + 2].tobytes() == bytes((0xFF, _END)):
        return False
    return not _ends(scan[first:].tobytes())


def _ends(rest: bytes) -> bool:
    """Whether whole segments that a decoder steps over, or none, lead from here to the end of the image."""
    position = 0
    while found := _MARKER.search(rest, position):
        marker, start = found[1][0], found.end()
        if marker not in _CARRIED:
            return marker == _END
        position = start + max(2, int.from_bytes(rest[start : start + 2], "big"))
    return False


def as_bmp(image: bytes) -> bytes:
    """The pixels as stored, as Pillow reads them, in a file that every decoder reads. Raises Damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # how large it may be was seen to before
            opened = Image.open(io.BytesIO(image), formats=("JPEG",))
        file = io.BytesIO()
        opened.convert("RGB").save(file, "BMP")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Damaged(f"the decoder cannot read it; it is damaged or incomplete ({error})") from error
    return file.getvalue()
