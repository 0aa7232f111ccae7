"""The images that the executors are compared on: every kind there is, generated; or a folder of one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count, islice
from pathlib import Path

from PIL import Image

from fovea_pipelines.parity import encodings
from fovea_pipelines.parity.encodings import saved
from fovea_pipelines.parity.scenes import scene

GENERATED, PHOTOGRAPHS = "generated", "photographs"
SUMS = (PHOTOGRAPHS, GENERATED)  # kinds that say where an image is from
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp"))

_FORMS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}
_ODD = ((225, 257), (301, 199), (257, 225), (333, 501))
_TINY = ((1, 1), (2, 3), (7, 9))
_HUGE = ((4000, 3000), (2049, 1537))  # of the second no fraction has whole sides
_EXTREME = ((3000, 40), (40, 3000))
# What is held in every way is small, for there are many. Of fewer pixels than these tiny ones Lanczos makes so much of
# the image's edge that the limits of an orientation could not be those of every other kind.
_HELD = {"odd": (121, 93), "tiny": (24, 18), "extreme": (900, 30)}
_HELD_HUGE = (1537, 1153)  # decoded at a half for 224x224, which leaves a part of a pixel at the end of both sides


@dataclass(frozen=True)
class Specimen:
    """An encoded image, and the kinds it counts towards in a report."""

    name: str
    kinds: tuple[str, ...]
    content: bytes


def files(folder: Path, limit: int | None = None) -> list[Path]:
    """The images of a folder and those below it, by name; at most `limit` of them, spread evenly."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    wanted = len(found) if limit is None else min(limit, len(found))
    return [found[place * len(found) // wanted] for place in range(wanted)]


def from_folder(folder: Path, limit: int | None = None) -> Iterator[Specimen]:
    """The photographs of a folder, read one at a time."""
    for path in files(folder, limit):
        yield Specimen(_name(folder, path), (PHOTOGRAPHS,), path.read_bytes())


def _name(folder: Path, path: Path) -> str:
    """For reports, which are text: bytes of a file's name that are none are written as \\xNN."""
    return os.fsencode(f"{folder.name}/{path.relative_to(folder)}").decode(errors="backslashreplace")


def generated(seed: int = 0) -> Iterator[Specimen]:
    """Every kind of image that is served; the same bytes each time, where Pillow is the same."""
    return iter(_kept(seed))


@cache
def _kept(seed: int) -> _Kept:
    return _Kept(_made(seed))


class _Kept:
    """Made when they are first asked for (seconds for all), and kept for whoever asks next (15 MB)."""

    def __init__(self, coming: Iterator[Specimen]) -> None:
        self._there: list[Specimen] = []
        self._coming = coming

    def __iter__(self) -> Iterator[Specimen]:
        for place in count():
            if place == len(self._there):
                self._there.extend(islice(self._coming, 1))
            if place == len(self._there):
                return
            yield self._there[place]


def _made(seed: int) -> Iterator[Specimen]:
    scenes = _Scenes(seed)
    # What is new goes to the end: some take images by their place (adding/examination.py).
    for part in (_orientations, _colours, _depths, _jpegs, _sizes, _others, _profiles, _held):
        for name, kind, content in part(scenes):
            yield Specimen(f"generated/{name}", (GENERATED, *kind.split()), content)


class _Scenes:
    """Scenes of one seed; each part of the corpus has its own."""

    def __init__(self, seed: int) -> None:
        self._seed = seed * 1_000

    @cache  # noqa: B019 (lives as long as the corpus is generated)
    def __call__(self, number: int, width: int = 500, height: int = 375) -> Image.Image:
        return scene(width, height, self._seed + number)


_Part = Iterator[tuple[str, str, bytes]]  # name, kinds with a space between, content


def _orientations(scenes: _Scenes) -> _Part:
    for form, name in _FORMS.items():
        for shape, size in {"landscape": (400, 300), "portrait": (300, 400)}.items():
            for orientation in range(1, 9):
                content = encodings.oriented(scenes(0, *size), orientation, name)
                yield f"orientation-{orientation}-{shape}.{form}", f"orientation-{orientation} {form}", content
    yield "orientation-6-xmp.webp", "orientation-6 webp", encodings.oriented_by_xmp(scenes(0, 400, 300), 6)


def _colours(scenes: _Scenes) -> _Part:
    picture = scenes(1)
    yield "grey.jpeg", "grey", saved(picture.convert("L"), "JPEG", quality=90)
    yield "grey.png", "grey", saved(picture.convert("L"), "PNG")
    yield "grey.bmp", "grey", saved(picture.convert("L"), "BMP")
    yield "cmyk-85.jpeg", "cmyk", encodings.cmyk(picture)
    yield "cmyk-95.jpeg", "cmyk", encodings.cmyk(scenes(2), quality=95)
    yield "cmyk-without-adobe.jpeg", "cmyk-without-adobe", encodings.cmyk_without_adobe(picture)
    yield "ycck.jpeg", "ycck", encodings.ycck(picture)
    yield "palette-256.png", "palette", saved(encodings.with_palette(picture, 256), "PNG")
    yield "palette-16.png", "palette", saved(encodings.with_palette(picture, 16), "PNG")
    yield "palette.bmp", "palette", saved(encodings.with_palette(picture, 256), "BMP")
    yield "palette-one-clear.png", "palette alpha", encodings.with_clear_colour(picture)
    yield "alpha.png", "alpha", encodings.with_alpha(picture, "PNG")
    yield "alpha-grey.png", "alpha grey", encodings.with_alpha(picture.convert("L"), "PNG")
    yield "alpha-lossy.webp", "alpha", encodings.with_alpha(picture, "WEBP", quality=85)
    yield "alpha-lossless.webp", "alpha", encodings.with_alpha(picture, "WEBP", lossless=True, exact=True)
    for form in ("jpeg", "png"):
        yield f"icc-srgb.{form}", "icc", encodings.with_srgb_profile(picture, _FORMS[form])


def _depths(scenes: _Scenes) -> _Part:
    for number in (3, 4):
        yield f"16-bit-grey-{number}.png", "16-bit", encodings.grey_16(scenes(number))
        yield f"16-bit-rgb-{number}.png", "16-bit", encodings.rgb_16(scenes(number))
    yield "1-bit.png", "1-bit", saved(scenes(3).convert("1"), "PNG")
    yield "1-bit.bmp", "1-bit", saved(scenes(4).convert("1"), "BMP")


def _jpegs(scenes: _Scenes) -> _Part:
    for number in (5, 6):
        picture = scenes(number)
        for sampling in ("4:4:4", "4:2:2", "4:2:0"):
            kind = f"chroma-{sampling.replace(':', '')}"
            yield f"{kind}-{number}.jpeg", f"{kind} jpeg", saved(picture, "JPEG", quality=92, subsampling=sampling)
        for quality in (30, 75, 95):
            yield f"quality-{quality}-{number}.jpeg", f"quality-{quality} jpeg", saved(picture, "JPEG", quality=quality)
        for sampling in ("4:4:4", "4:2:0"):
            content = saved(picture, "JPEG", quality=85, progressive=True, subsampling=sampling)
            yield f"progressive-{sampling.replace(':', '')}-{number}.jpeg", "progressive jpeg", content


def _sizes(scenes: _Scenes) -> _Part:
    for kind, sizes in {"odd": _ODD, "tiny": _TINY, "extreme": _EXTREME}.items():
        for width, height in sizes:
            for form, name in _FORMS.items():
                yield f"{kind}-{width}x{height}.{form}", kind, saved(scenes(7, width, height), name)
    for width, height in _HUGE:
        huge = scenes(8, 1000, 750).resize((width, height), Image.Resampling.BICUBIC)
        yield f"huge-{width}x{height}.jpeg", "huge", saved(huge, "JPEG", quality=85)


def _others(scenes: _Scenes) -> _Part:
    for number in (9, 10):
        yield f"plain-{number}.bmp", "bmp", saved(scenes(number), "BMP")
        yield f"lossy-{number}.webp", "webp", saved(scenes(number), "WEBP", quality=80)
        yield f"lossless-{number}.webp", "webp", saved(scenes(number), "WEBP", lossless=True)


def _profiles(scenes: _Scenes) -> _Part:
    for form in ("jpeg", "png"):
        yield f"icc-wide.{form}", "icc", encodings.with_wide_profile(scenes(1), _FORMS[form])


def _held(scenes: _Scenes) -> _Part:
    """What decoders treat each in its own way, in every orientation but the upright one."""
    huge = scenes(8, 1000, 750).resize(_HELD_HUGE, Image.Resampling.BICUBIC)
    for orientation in range(2, 9):
        exif = encodings.exif_of(orientation)
        picture = encodings.held(scenes(11, 120, 90), orientation)
        contents = {
            "grey.jpeg": saved(picture.convert("L"), "JPEG", exif=exif),
            "cmyk.jpeg": encodings.cmyk(picture, exif=exif),
            "palette.png": saved(encodings.with_palette(picture, 64), "PNG", exif=exif),
            "alpha.png": encodings.with_alpha(picture, "PNG", exif=exif),
            "alpha.webp": encodings.with_alpha(picture, "WEBP", quality=85, exif=exif),
            "16-bit.png": (encodings.grey_16 if orientation % 2 else encodings.rgb_16)(picture, exif=exif),
            "progressive.jpeg": saved(picture, "JPEG", progressive=True, exif=exif),
            "icc.jpeg": encodings.with_wide_profile(picture, "JPEG", exif=exif),
            "huge.jpeg": encodings.oriented(huge, orientation, "JPEG"),
            **{
                f"{kind}.png": encodings.oriented(scenes(11, *size), orientation, "PNG") for kind, size in _HELD.items()
            },
        }
        for name, content in contents.items():
            kind, _, form = name.partition(".")
            yield f"{kind}-held-{orientation}.{form}", f"{kind} orientation-{orientation}", content
