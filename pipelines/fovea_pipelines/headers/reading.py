"""Read what the header of an image says, without decoding a pixel. The first to meet hostile bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fovea_pipelines.headers import bmp, jpeg, png, webp
from fovea_pipelines.headers.frame import SERVED, not_served
from fovea_pipelines.headers.refusals import Damaged, Empty, NotAnImage

_READERS = {"jpeg": jpeg.read, "png": png.read, "webp": webp.read, "bmp": bmp.read}

_SERVED = (
    ("jpeg", re.compile(rb"\xff\xd8")),
    ("png", re.compile(rb"\x89PNG")),
    ("webp", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    ("bmp", re.compile(rb"BM")),
)
_KNOWN = (
    ("a GIF", re.compile(rb"GIF8[79]a")),
    ("a TIFF", re.compile(rb"II[*+]\0|MM\0[*+]")),
    ("an AVIF", re.compile(rb".{4}ftypavi[fs]", re.DOTALL)),
    ("a HEIC", re.compile(rb".{4}ftyphe[iv][cxms]", re.DOTALL)),
    ("a HEIF", re.compile(rb".{4}ftypm[is]f1", re.DOTALL)),
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
    """`format` is "jpeg", "png", "webp" or "bmp"; width and height are as stored; `orientation` is EXIF's, 1 to 8.

    `unmarked_inks`: a JPEG of four inks that lacks the marker by which decoders know that they are stored inverted.
    """

    format: str
    width: int
    height: int
    orientation: int
    unmarked_inks: bool = False


def read(image: bytes) -> Header:
    """What the image is and how large. Raises Empty, NotAnImage, FormatNotServed or Damaged, nothing else."""
    if not image:
        raise Empty(f"no image was sent; served: {SERVED}")
    name = _format(image)
    frame = _READERS[name](image)
    if not frame.width or not frame.height:
        raise Damaged(f"its header says {frame.width}x{frame.height}, which has no pixels")
    return Header(name, frame.width, frame.height, frame.orientation, frame.unmarked_inks)


def _format(image: bytes) -> str:
    """Which of the served formats the first bytes show."""
    for name, signature in _SERVED:
        if signature.match(image):
            return name
    for what, signature in _KNOWN:
        if signature.match(image):
            raise not_served(what)
    raise NotAnImage(f"the first bytes, {image[:8].hex(' ')}, are of no known image; served: {SERVED}")
