"""JPEGs of one scan that is followed by anything but its end: Pillow reads them, not DALI.

Many of these nvImageCodec 0.9 decodes all the same, fails at the end, hands them to its next decoder and forgets the
pixels it had, 0.7 MB at 600x400, for good. Of JPEGs of several scans, which it reads to the end before it makes pixels,
it forgets nothing.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile

from fovea_pipelines.headers import Damaged, Header, jpeg

_STUFFED, _END = 0x00, 0xD9  # ITU-T T.81, B.1.1: FF 00 is a byte FF
_STEPPED_OVER = jpeg.CARRIED | {0xDC}  # by a decoder; FF DC is DNL
_MOST_CARRIED = 64  # of them; a sound file has none or few, and 20 MB may hold five million


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
    for _ in range(_MOST_CARRIED):
        found = jpeg.MARKER_AFTER_SCAN.search(rest, position)
        if not found or found[1][0] not in _STEPPED_OVER:
            return found is not None and found[1][0] == _END
        start = found.end()
        position = start + max(2, int.from_bytes(rest[start : start + 2], "big"))
    return False


def as_bmp(image: bytes) -> bytes:
    """The pixels as stored, as Pillow reads them, in a file that every decoder reads. Raises Damaged.

    Pillow's own limit on pixels is left out: how many there may be was seen to before.
    """
    try:
        opened = JpegImageFile(io.BytesIO(image))
        opened.load()
        file = io.BytesIO()
        (opened if opened.mode == "RGB" else opened.convert("RGB")).save(file, "BMP")
    except (OSError, SyntaxError, ValueError) as error:
        raise Damaged(f"the decoder cannot read it; it is damaged or incomplete ({error})") from error
    return file.getvalue()
