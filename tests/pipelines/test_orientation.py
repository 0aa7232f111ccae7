"""The orientation is found wherever Pillow finds it, on which training code and the reference stand."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from fovea_pipelines import headers

PICTURE = Image.linear_gradient("L").resize((37, 23)).convert("RGB")
ORIENTATION = 0x0112
RAW = "Raw profile type exif"


def _xmp(orientation: int, *, as_element: bool = False) -> bytes:
    said = f">{orientation}<" if as_element else f'="{orientation}"'
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation{said}/></x:xmpmeta>'.encode()


def _block(kind: int, value: bytes, order: str = ">") -> bytes:
    """A TIFF directory whose one entry is an orientation of that type."""
    begin = struct.pack(f"{order}2sHIH", {"<": b"II", ">": b"MM"}[order], 42, 8, 1)
    return begin + struct.pack(f"{order}HHI", ORIENTATION, kind, 1) + value.ljust(4, b"\0") + bytes(4)


def _other_block() -> bytes:
    exif = Image.Exif()
    exif[0x0110] = "camera"
    return exif.tobytes()


def _upright_block() -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 1
    return exif.tobytes()


def _jpeg(**options: Any) -> bytes:
    buffer = io.BytesIO()
    PICTURE.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def _webp(**options: Any) -> bytes:
    buffer = io.BytesIO()
    PICTURE.save(buffer, "WEBP", **options)
    return buffer.getvalue()


def _png(keyword: str, text: str, *, international: bool = False, packed: bool = False, exif: bytes = b"") -> bytes:
    texts = PngImagePlugin.PngInfo()
    if international:
        texts.add_itxt(keyword, text, zip=packed)
    else:
        texts.add_text(keyword, text, zip=packed)
    buffer = io.BytesIO()
    PICTURE.save(buffer, "PNG", pnginfo=texts, **({"exif": exif} if exif else {}))
    return buffer.getvalue()


def _with_text(data: bytes) -> bytes:
    """A PNG with an iTXt of that data, as no writer would write it."""
    plain = io.BytesIO()
    PICTURE.save(plain, "PNG")
    head, tail = plain.getvalue()[:33], plain.getvalue()[33:]
    chunk = struct.pack(">I", len(data)) + b"iTXt" + data + struct.pack(">I", zlib.crc32(b"iTXt" + data))
    return head + chunk + tail


def _raw(block: bytes) -> str:
    """As ImageMagick writes EXIF into a text."""
    whole = b"Exif\0\0" + block
    digits = whole.hex()
    lines = "\n".join(digits[place : place + 72] for place in range(0, len(digits), 72))
    return f"\nexif\n{len(whole):8d}\n{lines}\n"


def _as_pillow_has_it(image: bytes) -> int:
    opened = Image.open(io.BytesIO(image))
    opened.load()
    said = opened.getexif().get(ORIENTATION, 1)
    return said if said in range(1, 9) else 1


SIX = _block(3, struct.pack(">H", 6))
CASES = {
    "JPEG, XMP": (6, _jpeg(xmp=_xmp(6))),
    "JPEG, XMP as an element": (8, _jpeg(xmp=_xmp(8, as_element=True))),
    "JPEG, XMP of no orientation that exists": (1, _jpeg(xmp=_xmp(9))),
    "JPEG, EXIF that says none, and XMP": (3, _jpeg(exif=_other_block(), xmp=_xmp(3))),
    "JPEG, EXIF that says upright, and XMP": (1, _jpeg(exif=_upright_block(), xmp=_xmp(3))),
    "JPEG, a LONG": (6, _jpeg(exif=b"Exif\0\0" + _block(4, struct.pack(">I", 6)))),
    "JPEG, a LONG, little-endian": (6, _jpeg(exif=b"Exif\0\0" + _block(4, struct.pack("<I", 6), "<"))),
    "JPEG, a signed LONG": (6, _jpeg(exif=b"Exif\0\0" + _block(9, struct.pack(">i", 6)))),
    "JPEG, a BYTE": (1, _jpeg(exif=b"Exif\0\0" + _block(1, b"\6", "<"))),
    "WebP, XMP": (6, _webp(xmp=_xmp(6))),
    "WebP, EXIF that says none, and XMP": (6, _webp(exif=_other_block(), xmp=_xmp(6))),
    "WebP, EXIF that says upright, and XMP": (1, _webp(exif=_upright_block(), xmp=_xmp(6))),
    "PNG, XMP": (6, _png("XML:com.adobe.xmp", _xmp(6).decode(), international=True)),
    "PNG, XMP, compressed": (6, _png("XML:com.adobe.xmp", _xmp(6).decode(), international=True, packed=True)),
    "PNG, EXIF and XMP": (1, _png("XML:com.adobe.xmp", _xmp(6).decode(), international=True, exif=_upright_block())),
    "PNG, EXIF in a text": (6, _png(RAW, _raw(SIX))),
    "PNG, EXIF in a text, compressed": (6, _png(RAW, _raw(SIX), packed=True)),
    "PNG, XMP in a plain text": (6, _png("XML:com.adobe.xmp", _xmp(6).decode())),
    "PNG, XMP in a compressed text": (6, _png("XML:com.adobe.xmp", _xmp(6).decode(), packed=True)),
    "PNG, XMP of an unknown compression": (1, _with_text(b"XML:com.adobe.xmp\0\2\0\0\0" + _xmp(6))),
    "WebP, XMP that it does not announce": (1, _webp(xmp=_xmp(6)).replace(b"VP8X\n\0\0\0\4", b"VP8X\n\0\0\0\0")),
    "PNG, another text": (1, _png("Comment", _xmp(6).decode())),
}


@pytest.mark.parametrize(("expected", "image"), CASES.values(), ids=CASES)
def test_it_is_what_pillow_finds(expected: int, image: bytes) -> None:
    assert headers.read(image).orientation == expected == _as_pillow_has_it(image)


def test_texts_that_are_no_exif_say_nothing() -> None:
    for text in ("", "\n" * 5_000_000, "\nexif\n  10\nzz", "\nexif\n  10\n" + b"II*\0".hex()):
        assert headers.read(_png(RAW, text)).orientation == 1


def test_of_a_text_that_unpacks_to_much_only_the_beginning_is_read() -> None:
    bomb = zlib.compress(bytes(50_000_000) + _xmp(6))
    assert headers.read(_with_text(b"XML:com.adobe.xmp\0\1\0\0\0" + bomb)).orientation == 1
