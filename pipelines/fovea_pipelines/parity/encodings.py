"""Write images in the forms that cameras, scanners and print shops produce, some of which Pillow only reads."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from fovea_pipelines.parity import wide_gamut

ORIENTATION = 0x0112
_ADOBE = b"\xff\xee\x00\x0eAdobe"
_ADOBE_SIZE = 16
_YCCK = 2
_MADE = slice(24, 36)  # of a profile: the date and time (ICC.1:2001-04, 6.1.8)

# What a camera did to the upright scene for each EXIF orientation: the inverse of `ImageOps.exif_transpose`.
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}

# Half the CPU time of a corpus would go into making smaller files of the same kinds.
_HASTY: dict[str, dict[str, Any]] = {"PNG": {"compress_level": 1}, "WEBP": {"method": 0}}


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    """The image as Pillow writes it, where it has a choice with the least effort."""
    buffer = io.BytesIO()
    image.save(buffer, form, **{**_HASTY.get(form, {}), **options})
    return buffer.getvalue()


def with_palette(image: Image.Image, colours: int) -> Image.Image:
    """The image in at most that many colours, by an octree: a thirtieth of the CPU time of a median cut."""
    return image.quantize(colours, Image.Quantize.FASTOCTREE)


def oriented(upright: Image.Image, orientation: int, form: str) -> bytes:
    """The scene as a camera held that way stores it, with the EXIF orientation that says so."""
    return saved(held(upright, orientation), form, exif=exif_of(orientation))


def held(upright: Image.Image, orientation: int) -> Image.Image:
    """The scene as a camera held that way stores it."""
    return upright.transpose(_STORED[orientation]) if orientation in _STORED else upright


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def oriented_by_xmp(upright: Image.Image, orientation: int) -> bytes:
    """The same as a WebP that only its XMP packet says it of."""
    packet = f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'
    return saved(held(upright, orientation), "WEBP", xmp=packet.encode())


def with_srgb_profile(image: Image.Image, form: str) -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_MADE] = bytes(12)  # or the file would be another each second
    return saved(image, form, icc_profile=bytes(profile))


def with_wide_profile(image: Image.Image, form: str, **options: Any) -> bytes:
    """Its numbers mean other colours than sRGB's, which a decoder that applies the profile goes by."""
    return saved(image, form, icc_profile=wide_gamut.profile(), **options)


def cmyk(image: Image.Image, quality: int = 85, **options: Any) -> bytes:
    """A CMYK JPEG as Photoshop writes it: inverted, with an Adobe segment."""
    return saved(image.convert("CMYK"), "JPEG", quality=quality, **options)


def cmyk_without_adobe(image: Image.Image) -> bytes:
    """The same without the segment that says who wrote it."""
    content = cmyk(image)
    place = content.index(_ADOBE)
    return content[:place] + content[place + _ADOBE_SIZE :]


def ycck(image: Image.Image) -> bytes:
    """A YCCK JPEG, what print software makes: CMY turned to luma and chroma, K beside it.

    Pillow writes only CMYK, so the four planes it is given are luma and chroma already, and the Adobe segment is made
    to say so.
    """
    cyan, magenta, yellow, black = image.convert("CMYK").split()
    luma_and_chroma = Image.merge("RGB", (cyan, magenta, yellow)).convert("YCbCr").split()
    planes = [plane.point(lambda value: 255 - value) for plane in luma_and_chroma]
    content = bytearray(saved(Image.merge("CMYK", (*planes, black)), "JPEG", quality=90, subsampling=0))
    content[content.index(_ADOBE) + _ADOBE_SIZE - 1] = _YCCK
    return bytes(content)


def with_clear_colour(image: Image.Image) -> bytes:
    """A palette PNG of which one colour is transparent."""
    return saved(with_palette(image, 64), "PNG", transparency=3)


def with_alpha(image: Image.Image, form: str, **options: Any) -> bytes:
    """Opaque in the middle, ever clearer towards the edges."""
    across = np.sin(np.linspace(0, np.pi, image.width))
    down = np.sin(np.linspace(0, np.pi, image.height))
    image = image.copy()
    image.putalpha(Image.fromarray((255 * np.sqrt(np.outer(down, across))).astype(np.uint8)))
    return saved(image, form, **options)


def grey_16(image: Image.Image, **options: Any) -> bytes:
    """A 16-bit grey PNG whose low bytes are not those of the high ones."""
    grey = np.asarray(image.convert("L")).astype(np.uint16)
    return saved(Image.fromarray(grey * 256 + (grey * 7) % 256), "PNG", **options)


def rgb_16(image: Image.Image, exif: Image.Exif | None = None) -> bytes:
    """A 16-bit RGB PNG, which Pillow cannot write."""
    samples = np.asarray(image.convert("RGB")).astype(np.uint16)
    return _png(samples * 256 + (samples * 7) % 256, exif)


def _png(samples: NDArray[np.uint16], exif: Image.Exif | None) -> bytes:
    """Shape (height, width, 3); rows unfiltered."""
    height, width, _ = samples.shape
    rows = b"".join(b"\0" + row.tobytes() for row in samples.astype(">u2"))
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    said = [(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))] if exif else []
    chunks = [(b"IHDR", header), *said, (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
