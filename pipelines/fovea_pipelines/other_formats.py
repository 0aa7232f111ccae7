"""Turn a GIF, TIFF, AVIF or HEIC into a PNG of the same pixels, which every executor of the contract reads.

The pixels are those of Pillow (pillow-heif for HEIC). Both turn some files upright while they decode, a TIFF by its
orientation, a HEIC by its `irot` and `imir`; for an AVIF Pillow only says the turn, and so does the PNG, as EXIF.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any, BinaryIO

from PIL import Image, features

from fovea_pipelines import stored_png
from fovea_pipelines.not_converted import NotConverted, NotServed, OutOfMemory, TooLarge, Undecodable

_NAMES = {"gif": "GIF", "tiff": "TIFF", "avif": "AVIF", "heic": "HEIC"}
_READERS = {
    "gif": ("PIL.GifImagePlugin", "GifImageFile"),
    "tiff": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "avif": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "heic": ("pillow_heif", "HeifImageFile"),
}
_ORIENTATION = 0x0112
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_SIGNED = 2
# What PNG cannot hold, and the mode that says the same, or what the contract makes of it (docs/contract.md).
_AS = {
    "CMYK": "RGB",
    "LAB": "RGB",
    "La": "LA",
    "PA": "RGBA",
    "RGBX": "RGB",
    "RGBa": "RGBA",
    "YCbCr": "RGB",
}
_OTHER_INKS = frozenset(("CMYK", "LAB"))  # a profile of these says nothing about RGB


def prepare(formats: Collection[str]) -> None:
    """Import the decoders of these formats and keep each to one thread. Changes this process for good.

    Raises ImportError where one is not installed.
    """
    for form in formats:
        _reader(form)
    if "avif" in formats:
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    if "heic" in formats:
        from pillow_heif import options

        options.DECODE_THREADS = 1
        options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False


def _reader(form: str) -> Callable[[BinaryIO], Image.Image]:
    """Pillow's class for the one format; pillow-heif's is not registered, so nobody else's `Image.open` changes."""
    module, name = _READERS[form]
    reader: Callable[[BinaryIO], Image.Image] = getattr(import_module(module), name)
    if form == "avif" and not features.check("avif"):
        raise ImportError("this Pillow is without AVIF")
    return reader


def to_png(image: bytes, form: str, max_pixels: int, file: BinaryIO) -> None:
    """Write the first picture of `image` to `file`, as a PNG that is not compressed. Raises NotConverted."""
    picture = _decoded(image, form, max_pixels)
    profile = picture.info.get("icc_profile")
    if picture.mode in _OTHER_INKS or not isinstance(profile, bytes):
        profile = None
    orientation = _orientation(picture, form)
    stored_png.write(_as_png_holds_it(picture, form), file, orientation, profile)


def _decoded(image: bytes, form: str, max_pixels: int) -> Image.Image:
    reader = _reader(form)
    try:
        picture = reader(io.BytesIO(image))
        _check_size(picture, max_pixels)
        if form == "tiff":
            _check_samples(picture)
        picture.load()
    except NotConverted:
        raise
    except MemoryError:
        raise OutOfMemory(f"decoding this {_NAMES[form]} takes more memory than it may") from None
    except Image.DecompressionBombError as error:
        raise TooLarge(str(error)) from None
    except Exception as error:  # Pillow raises a dozen kinds on damaged files
        raise Undecodable(_cannot(form, error)) from None
    _check_size(picture, max_pixels)
    return picture


def _cannot(form: str, error: Exception) -> str:
    why = f"{type(error).__name__}: {error}"
    return f"the {_NAMES[form]} decoder cannot read it; it is damaged, incomplete or of a rare kind ({why})"


def _check_size(picture: Image.Image, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise TooLarge(f"{width}x{height} is {width * height:,} pixels; at most {max_pixels:,}")


def _check_samples(picture: Any) -> None:
    """Refuse TIFFs that Pillow opens but whose numbers it does not bring to the range of a picture."""
    tags = picture.tag_v2
    if picture.mode == "F":
        raise NotServed("this is a floating-point TIFF, which has no defined range")
    if picture.mode == "I" or _SIGNED in tags.get(_SAMPLE_FORMAT, ()):
        raise NotServed("this is a TIFF of 32-bit or signed samples, which have no defined range")
    if 12 in tags.get(_BITS, ()):
        raise NotServed("this is a TIFF of 12 bits a sample, not 1, 2, 4, 8 or 16")
    if picture.mode.startswith("I;16") and tags.get(_PHOTOMETRIC) == 0:
        raise NotServed("this is a 16-bit TIFF in which zero is white")


def _orientation(picture: Image.Image, form: str) -> int:
    """The turn that is still to be made, as `ImageOps.exif_transpose` would find it."""
    try:
        said = picture.getexif().get(_ORIENTATION, 1)
    except Exception as error:  # as above
        raise Undecodable(_cannot(form, error)) from None
    return said if said in range(1, 9) else 1


def _as_png_holds_it(picture: Image.Image, form: str) -> Image.Image:
    if picture.mode in stored_png.MODES:
        return picture
    if picture.mode not in _AS:
        raise NotServed(f"this is a {_NAMES[form]} of the kind {picture.mode}")
    return picture.convert(_AS[picture.mode])
