"""Images of the formats that are served on request: GIF, TIFF, AVIF by Pillow, HEIC by pillow-heif."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, features

ALSO = frozenset(("gif", "tiff", "avif", "heic"))
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")


def scene(width: int = 37, height: int = 23) -> Image.Image:
    """Colours that change across and down, and a corner by which one sees how it is turned."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    picture = Image.fromarray(np.stack([across, down, 255 - across], axis=-1).astype(np.uint8))
    ImageDraw.Draw(picture).rectangle((0, 0, width // 3, height // 4), fill=(250, 10, 20))
    return picture


def grey_16(picture: Image.Image) -> Image.Image:
    grey = np.asarray(picture.convert("L")).astype(np.uint16)
    return Image.fromarray(grey * 256 + (grey * 7) % 256)


def clear_at_the_edges(picture: Image.Image) -> Image.Image:
    picture = picture.copy()
    picture.putalpha(Image.radial_gradient("L").resize(picture.size))
    return picture


def saved(picture: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def heic(picture: Image.Image, **options: Any) -> bytes:
    """As pillow-heif writes it, lossless but for the colour space; `exif=exif(6)` says how it is to be turned."""
    return _heic(picture.mode, picture.size, picture.tobytes(), **options)


def heic_of_ten_bits(picture: Image.Image) -> bytes:
    samples = (np.asarray(picture.convert("RGB")).astype(np.uint16) * 257).tobytes()
    return _heic("RGB;16", picture.size, samples)


def _heic(mode: str, size: tuple[int, int], samples: bytes, **options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_bytes(mode, size, samples).save(buffer, **{"quality": -1, "chroma": 444, **options})
    return buffer.getvalue()


def offset_gif(left: int, top: int, screen: tuple[int, int], picture: Image.Image) -> bytes:
    """A GIF whose first picture stands at `left`, `top` of a screen of another size."""
    plain = saved(picture.quantize(16), "GIF")
    place = plain.index(b"\x2c", 13 + 3 * 2 ** ((plain[10] & 7) + 1))
    moved = plain[: place + 1] + struct.pack("<HH", left, top) + plain[place + 5 :]
    return moved[:6] + struct.pack("<HH", *screen) + moved[10:]


def box(kind: bytes, *content: bytes) -> bytes:
    """A box of an AVIF or HEIC."""
    body = b"".join(content)
    return struct.pack(">I", len(body) + 8) + kind + body


def isobmff(*properties: bytes, brand: bytes = b"avif", more: bytes = b"", **changed: bytes) -> bytes:
    """The boxes of a header whose primary item, number 1, has these properties; `changed` replaces boxes by name."""
    count = len(properties)
    indexes = bytes(range(1, count + 1))
    boxes = {
        "pitm": box(b"pitm", bytes(4), struct.pack(">H", 1)),
        "ipco": box(b"ipco", *properties),
        "ipma": box(b"ipma", bytes(4), struct.pack(">IHB", 1, 1, count), indexes),
        **changed,
    }
    meta = box(b"meta", bytes(4), boxes["pitm"], box(b"iprp", boxes["ipco"], boxes["ipma"]))
    return box(b"ftyp", brand, bytes(4), brand) + meta + more


def size(width: int, height: int) -> bytes:
    return box(b"ispe", bytes(4), struct.pack(">II", width, height))
