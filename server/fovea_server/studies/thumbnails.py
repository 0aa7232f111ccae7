"""Small pictures of captured images, for the report; they are decoded where images are answered, so at a price."""

from __future__ import annotations

import base64
import io

_SIDE = 120  # pixels of the longer side
_DEAREST = 16_000_000  # pixels: as WebP, the worst, 0.3 s of a 2.5 GHz Xeon and 240 MB while it is decoded
_OF_A_PAGE = 64_000_000  # pixels
_CHEAPER = 4  # times is a pixel of a JPEG, which is read at an eighth of its sides; a progressive one, or more


class Thumbnails:
    """Of one page."""

    def __init__(self) -> None:
        self._left = _OF_A_PAGE

    def of(self, image: bytes) -> str:
        """As HTML: the picture; its size in words where to decode it costs too much; nothing for what Pillow cannot
        read, or without it. The report is for people, and the labels are in it."""
        try:
            from PIL import Image
        except ImportError:
            return ""
        try:
            with Image.open(io.BytesIO(image)) as picture:
                width, height = picture.size
                price = width * height // (_CHEAPER if picture.format in ("JPEG", "MPO") else 1)
                if price > min(_DEAREST, self._left):
                    return f"<p>{width}x{height}, too large to be shown here</p>"
                self._left -= price
                picture.thumbnail((_SIDE, _SIDE))  # before its colours are converted, or all of it would be twice
                small = picture.convert("RGB")
        except Image.DecompressionBombError:
            return "<p>too large to be shown here</p>"
        except (OSError, ValueError, SyntaxError):
            return ""
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=80)
        return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
