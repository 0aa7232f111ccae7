"""Read what the header of an image says, without decoding a pixel. The first to meet hostile bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fovea_pipelines.headers import bmp, gif, isobmff, jpeg, png, tiff, webp
from fovea_pipelines.headers.frame import Frame, Load, not_served
from fovea_pipelines.headers.refusals import Damaged, Empty, FormatNotServed, NotAnImage

_READERS = {
    "jpeg": jpeg.read,
    "png": png.read,
    "webp": webp.read,
    "bmp": bmp.read,
    "gif": gif.read,
    "tiff": tiff.read,
    "avif": isobmff.read,
    "heic": isobmff.read,
}
_ALWAYS = {"jpeg": "JPEG", "png": "PNG", "webp": "WebP", "bmp": "BMP"}
ON_REQUEST = {"gif": "GIF", "tiff": "TIFF", "avif": "AVIF", "heic": "HEIC"}

_SERVED = (
    ("jpeg", re.compile(rb"\xff\xd8")),
    ("png", re.compile(rb"\x89PNG")),
    ("webp", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    ("bmp", re.compile(rb"BM")),
)
_SERVED_ON_REQUEST = (
    ("gif", "a GIF", re.compile(rb"GIF8[79]a")),
    ("tiff", "a TIFF", re.compile(rb"II[*+]\0|MM\0[*+]")),
    ("avif", "an AVIF", re.compile(rb".{4}ftypavi[fs]", re.DOTALL)),
    ("heic", "a HEIC", re.compile(rb".{4}ftyphe[iv][cxms]", re.DOTALL)),
    # A HEIF of no codec in particular; the brands that follow say which.
    ("avif", "a HEIF", re.compile(rb".{4}ftypm[is]f1.{4}(?:.{4}){0,32}?avi[fs]", re.DOTALL)),
    ("heic", "a HEIF", re.compile(rb".{4}ftypm[is]f1", re.DOTALL)),
)
_KNOWN = (
    ("a JPEG 2000", re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51")),
    ("a JPEG XL", re.compile(rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a")),
    ("a Photoshop document", re.compile(rb"8BPS")),
    ("an icon or cursor", re.compile(rb"\0\0[\x01\x02]\0[^\0]\0")),
    ("an SVG", re.compile(rb"(?:\xef\xbb\xbf)?\s{0,64}<(?:svg[\s>]|\?xml.{0,1024}?<svg[\s>])", re.DOTALL)),
    ("a PDF", re.compile(rb"%PDF-")),
    ("a PNM", re.compile(rb"P[1-7]\s")),
    ("an OpenEXR", re.compile(rb"\x76\x2f\x31\x01")),
    ("a Radiance HDR", re.compile(rb"#\?RADIANCE")),
    ("a QOI", re.compile(rb"qoif")),
)


@dataclass(frozen=True)
class Header:
    """`format` is "jpeg", "png", "webp" or "bmp", or, where that was asked for, "gif", "tiff", "avif" or "heic"; width
    and height are as stored; `orientation` is EXIF's, 1 to 8.

    `unmarked_inks`: a JPEG of four inks that lacks the marker by which decoders know that they are stored inverted.
    `scan`: the byte at which the pixels of a JPEG begin, where one scan holds them all; 0 otherwise.
    """

    format: str
    width: int
    height: int
    orientation: int
    unmarked_inks: bool = False
    # What it is does not depend on what it carries, nor on where.
    load: Load = field(default_factory=Load, compare=False)
    scan: int = field(default=0, compare=False)


def read(image: bytes, also: frozenset[str] = frozenset()) -> Header:
    """What the image is and how large. Raises Empty, NotAnImage, FormatNotServed or Damaged, nothing else.

    `also` names formats of `ON_REQUEST` that are served here beyond JPEG, PNG, WebP and BMP.
    """
    if not image:
        raise Empty(f"no image was sent; served: {_served(also)}")
    try:
        name = _format(image, also)
        frame = _READERS[name](image)
    except (FormatNotServed, NotAnImage) as refusal:
        raise type(refusal)(f"{refusal}; served: {_served(also)}") from None
    return _header(name, frame)


def _header(name: str, frame: Frame) -> Header:
    if not frame.width or not frame.height:
        raise Damaged(f"its header says {frame.width}x{frame.height}, which has no pixels")
    return Header(name, frame.width, frame.height, frame.orientation, frame.unmarked_inks, frame.load, frame.scan)


def _format(image: bytes, also: frozenset[str]) -> str:
    """Which of the served formats the first bytes show."""
    for name, signature in _SERVED:
        if signature.match(image):
            return name
    for name, what, signature in _SERVED_ON_REQUEST:
        if signature.match(image):
            if name not in also:
                raise not_served(what)
            return name
    for what, signature in _KNOWN:
        if signature.match(image):
            raise not_served(what)
    raise NotAnImage(f"the first bytes, {image[:8].hex(' ')}, are of no known image")


def _served(also: frozenset[str]) -> str:
    return ", ".join((*_ALWAYS.values(), *(name for key, name in ON_REQUEST.items() if key in also)))
