"""What is made of a GIF, TIFF, AVIF or HEIC is a PNG of Pillow's own pixels, and what PNG cannot hold is refused."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, features
from tests.pipelines.other_images import (
    ALSO,
    clear_at_the_edges,
    exif,
    grey_16,
    heic,
    heic_of_ten_bits,
    needs_avif,
    offset_gif,
    saved,
    scene,
)

from fovea_pipelines import headers, other_formats, reference, stored_png
from fovea_pipelines.dali_executor import DaliExecutor, Preprocessed
from fovea_pipelines.not_converted import NotConverted, NotServed, TooLarge, Undecodable
from fovea_pipelines.package import ModelPackage

SCENE = scene(301, 226)
TILED = Image.fromarray(np.tile(np.asarray(SCENE), (3, 3, 1)))
ENOUGH = 50_000_000


def _png(image: bytes, form: str, max_pixels: int = ENOUGH) -> bytes:
    file = io.BytesIO()
    other_formats.to_png(image, form, max_pixels, file)
    return file.getvalue()


def _pillow(image: bytes, form: str) -> Image.Image:
    """The first picture as Pillow itself decodes it."""
    if form == "heic":
        picture: Image.Image = pytest.importorskip("pillow_heif").HeifImageFile(io.BytesIO(image))
    else:
        picture = Image.open(io.BytesIO(image), formats=(form.upper(),))
    picture.load()
    return picture


def _upright_rgb(picture: Image.Image) -> Image.Image:
    """What the contract makes of a decoded picture before it is resized."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    return picture.convert("RGB")


def _pixels(picture: Image.Image) -> NDArray[Any]:
    return np.asarray(picture)


def _tiled() -> bytes:
    """A TIFF of tiles, which Pillow does not write: 16x16, uncompressed."""
    across, down = 48, 32
    pixels = np.asarray(SCENE.resize((across, down)))
    tiles = [pixels[y : y + 16, x : x + 16].tobytes() for y in range(0, down, 16) for x in range(0, across, 16)]
    count = len(tiles)
    tags = [(256, 3, 1, across), (257, 3, 1, down), (259, 3, 1, 1), (262, 3, 1, 2), (277, 3, 1, 3)]
    behind = 8 + 2 + 12 * (len(tags) + 5) + 4
    tags += [(258, 3, 3, behind), (322, 3, 1, 16), (323, 3, 1, 16)]
    tags += [(324, 4, count, behind + 6), (325, 4, count, behind + 6 + 4 * count)]
    begin = behind + 6 + 8 * count
    offsets = [begin + sum(len(tile) for tile in tiles[:number]) for number in range(count)]
    directory = b"".join(
        struct.pack("<HHIHxx" if kind == 3 and n == 1 else "<HHII", tag, kind, n, value)
        for tag, kind, n, value in sorted(tags)
    )
    lists = struct.pack(f"<3H{count}I{count}I", 8, 8, 8, *offsets, *map(len, tiles))
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + directory + bytes(4) + lists + b"".join(tiles)


MAKERS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "gif": ("gif", lambda: saved(SCENE, "GIF")),
    "gif, few colours": ("gif", lambda: saved(SCENE.quantize(5), "GIF")),
    "gif, grey": ("gif", lambda: saved(SCENE.convert("L"), "GIF")),
    "gif, black and white": ("gif", lambda: saved(SCENE.convert("1"), "GIF")),
    "gif, interlaced": ("gif", lambda: saved(SCENE, "GIF", interlace=1)),
    "gif, transparent": ("gif", lambda: saved(SCENE.quantize(64), "GIF", transparency=3)),
    "gif, animated": ("gif", lambda: saved(SCENE, "GIF", save_all=True, append_images=[SCENE.rotate(90)])),
    "gif, offset": ("gif", lambda: offset_gif(40, 30, (400, 300), SCENE)),
    "gif, out of its screen": ("gif", lambda: offset_gif(40, 30, (20, 10), SCENE)),
    "tiff": ("tiff", lambda: saved(SCENE, "TIFF")),
    "tiff, grey": ("tiff", lambda: saved(SCENE.convert("L"), "TIFF")),
    "tiff, grey and alpha": ("tiff", lambda: saved(clear_at_the_edges(SCENE).convert("LA"), "TIFF")),
    "tiff, black and white": ("tiff", lambda: saved(SCENE.convert("1"), "TIFF", compression="group4")),
    "tiff, 16 bits": ("tiff", lambda: saved(grey_16(SCENE), "TIFF")),
    "tiff, 16 bits, LZW": ("tiff", lambda: saved(grey_16(SCENE), "TIFF", compression="tiff_lzw")),
    "tiff, 16 bits, high byte first": ("tiff", lambda: saved(_swapped(grey_16(SCENE)), "TIFF")),
    "tiff, palette": ("tiff", lambda: saved(SCENE.quantize(200), "TIFF")),
    "tiff, alpha": ("tiff", lambda: saved(clear_at_the_edges(SCENE), "TIFF")),
    "tiff, CMYK": ("tiff", lambda: saved(SCENE.convert("CMYK"), "TIFF")),
    "tiff, YCbCr": ("tiff", lambda: saved(SCENE.convert("YCbCr"), "TIFF")),
    "tiff, LAB": ("tiff", lambda: saved(_lab(), "TIFF")),
    "tiff, LZW": ("tiff", lambda: saved(SCENE, "TIFF", compression="tiff_lzw")),
    "tiff, deflate": ("tiff", lambda: saved(SCENE, "TIFF", compression="tiff_adobe_deflate")),
    "tiff, JPEG": ("tiff", lambda: saved(SCENE, "TIFF", compression="jpeg")),
    "tiff, packbits": ("tiff", lambda: saved(SCENE, "TIFF", compression="packbits")),
    "tiff, tiles": ("tiff", _tiled),
    "tiff, pages": ("tiff", lambda: saved(SCENE, "TIFF", save_all=True, append_images=[SCENE.rotate(90)])),
    "heic": ("heic", lambda: heic(SCENE)),
    "heic, lossy": ("heic", lambda: heic(SCENE, quality=50, chroma=420)),
    "heic, grey": ("heic", lambda: heic(SCENE.convert("L"))),
    "heic, alpha": ("heic", lambda: heic(clear_at_the_edges(SCENE))),
    "heic, tiles": ("heic", lambda: heic(TILED, tile_size=256)),
    "heic, 10 bits": ("heic", lambda: heic_of_ten_bits(SCENE)),
}
if features.check("avif"):
    MAKERS |= {
        "avif": ("avif", lambda: saved(SCENE, "AVIF")),
        "avif, grey": ("avif", lambda: saved(SCENE.convert("L"), "AVIF")),
        "avif, alpha": ("avif", lambda: saved(clear_at_the_edges(SCENE), "AVIF")),
        "avif, 444": ("avif", lambda: saved(SCENE, "AVIF", subsampling="4:4:4", quality=90)),
    }
TURNED = [
    *((f"tiff, {n}", "tiff", lambda n=n: saved(SCENE, "TIFF", tiffinfo={274: n})) for n in range(1, 9)),
    *(
        (f"tiff, LZW, {n}", "tiff", lambda n=n: saved(SCENE, "TIFF", compression="tiff_lzw", tiffinfo={274: n}))
        for n in (3, 6)
    ),
    *(
        (f"avif, {n}", "avif", lambda n=n: saved(SCENE, "AVIF", exif=exif(n), quality=95, subsampling="4:4:4"))
        for n in range(1, 9)
    ),
    *((f"heic, {n}", "heic", lambda n=n: heic(SCENE, exif=exif(n))) for n in range(1, 9)),
]


def _swapped(grey: Image.Image) -> Image.Image:
    return Image.frombytes("I;16B", grey.size, np.asarray(grey).astype(">u2").tobytes())


def _lab() -> Image.Image:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    converted = ImageCms.applyTransform(SCENE, to_lab)
    assert converted is not None
    return converted


_HELD_AS = {"CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB"}


@pytest.mark.parametrize("name", MAKERS)
def test_the_png_has_the_pixels_of_pillow_and_the_size_of_the_header(name: str) -> None:
    form, make = MAKERS[name]
    image = make()
    expected = _pillow(image, form)
    if expected.mode in _HELD_AS:
        expected = expected.convert(_HELD_AS[expected.mode])
    png = _png(image, form)
    found = Image.open(io.BytesIO(png))
    header = headers.read(image, ALSO)
    assert header.format == form
    assert (header.width, header.height) == found.size == expected.size
    assert found.mode == expected.mode.replace("I;16B", "I;16")
    assert np.array_equal(_pixels(found), _pixels(expected))
    if found.mode != "I;16":
        assert np.array_equal(_pixels(found.convert("RGBA")), _pixels(expected.convert("RGBA")))
    assert headers.read(png) == headers.Header("png", *expected.size, 1)


@pytest.mark.parametrize("name", MAKERS)
def test_every_executor_makes_of_the_png_what_the_reference_makes_of_the_original(
    name: str, package: ModelPackage, dali: DaliExecutor
) -> None:
    form, make = MAKERS[name]
    image = make()
    expected = reference.pixels(saved(_upright_rgb(_pillow(image, form)), "PNG"), package.contract)
    png = _png(image, form)
    assert np.array_equal(reference.pixels(png, package.contract), expected)
    (served,) = dali.run([np.frombuffer(png, np.uint8)])
    assert isinstance(served, Preprocessed), served
    assert np.abs(served.pixels.astype(int) - expected).mean() < 0.6


@pytest.mark.parametrize(("name", "form", "make"), TURNED, ids=[name for name, *_ in TURNED])
def test_every_orientation_ends_upright_in_every_executor(
    name: str, form: str, make: Callable[[], bytes], package: ModelPackage, dali: DaliExecutor
) -> None:
    if form == "avif" and not features.check("avif"):
        pytest.skip("Pillow without AVIF")
    image = make()
    camera = SCENE.copy()
    camera.getexif()[0x0112] = int(name.rpartition(" ")[2])
    upright = saved(ImageOps.exif_transpose(camera), "PNG")
    expected = reference.pixels(upright, package.contract)
    png = _png(image, form)
    # As near as the codec is: a TIFF is exact, HEIC and AVIF change colours a little.
    assert np.abs(reference.pixels(png, package.contract).astype(int) - expected).mean() < (
        1 if form != "tiff" else 1e-9
    )
    (served,) = dali.run([np.frombuffer(png, np.uint8)])
    assert isinstance(served, Preprocessed), served
    assert np.abs(served.pixels.astype(int) - expected).mean() < 1.5


@pytest.fixture(scope="module")
def dali(package: ModelPackage) -> DaliExecutor:
    return DaliExecutor(package.contract, max_batch=1, threads=1)


@pytest.mark.parametrize("form", ["tiff", pytest.param("avif", marks=needs_avif), "heic"])
def test_a_colour_profile_goes_along(form: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = heic(SCENE, icc_profile=profile) if form == "heic" else saved(SCENE, form.upper(), icc_profile=profile)
    assert Image.open(io.BytesIO(_png(image, form))).info["icc_profile"] == profile


def test_a_profile_of_inks_does_not_go_along_with_colours(package: ModelPackage, dali: DaliExecutor) -> None:
    image = saved(SCENE.convert("CMYK"), "TIFF", icc_profile=b"of inks")
    assert "icc_profile" not in Image.open(io.BytesIO(_png(image, "tiff"))).info


def test_a_damaged_profile_changes_no_pixel(package: ModelPackage, dali: DaliExecutor) -> None:
    profiles = [None, b"no profile at all", bytes(1_000_000)]
    images = [_png(saved(SCENE, "TIFF", **({"icc_profile": each} if each else {})), "tiff") for each in profiles]
    results = [dali.run([np.frombuffer(image, np.uint8)])[0] for image in images]
    assert all(isinstance(result, Preprocessed) for result in results)
    assert all(np.array_equal(result.pixels, results[0].pixels) for result in results)  # type: ignore[union-attr]


def test_clear_colours_stay_clear() -> None:
    image = MAKERS["gif, transparent"][1]()
    expected = _pixels(_pillow(image, "gif").convert("RGBA"))
    assert (expected[..., 3] == 0).any()
    assert np.array_equal(_pixels(Image.open(io.BytesIO(_png(image, "gif"))).convert("RGBA")), expected)


def test_an_index_beyond_the_palette_is_black_as_in_pillow(package: ModelPackage, dali: DaliExecutor) -> None:
    picture = Image.new("P", (256, 256), 200)
    picture.putpalette([255, 0, 0, 0, 255, 0])
    file = io.BytesIO()
    stored_png.write(picture, file)
    assert Image.open(file).convert("RGB").getpixel((9, 9)) == picture.convert("RGB").getpixel((9, 9)) == (0, 0, 0)
    (served,) = dali.run([np.frombuffer(file.getvalue(), np.uint8)])
    assert isinstance(served, Preprocessed)
    assert not served.pixels.any()


@pytest.mark.parametrize("size", [(1, 1), (1, 100_000), (100_000, 1), (3, 400_000)])
@pytest.mark.parametrize("mode", ["1", "L", "I;16", "LA", "P", "RGB", "RGBA"])
def test_a_picture_of_any_shape_and_mode_is_written_whole(size: tuple[int, int], mode: str) -> None:
    picture = Image.linear_gradient("L").resize(size).convert(mode) if mode != "I;16" else grey_16(scene(*size))
    file = io.BytesIO()
    stored_png.write(picture, file)
    written = Image.open(file)
    assert written.mode == mode
    assert np.array_equal(_pixels(written), _pixels(picture))


def _with(image: bytes, tag: int, new: int) -> bytes:
    """A little-endian TIFF in which one SHORT of the first directory has another value."""
    (start,) = struct.unpack_from("<I", image, 4)
    (count,) = struct.unpack_from("<H", image, start)
    places = range(start + 2, start + 2 + 12 * count, 12)
    place = next(place for place in places if struct.unpack_from("<H", image, place) == (tag,)) + 8
    return image[:place] + struct.pack("<H", new) + image[place + 2 :]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (saved(SCENE.convert("F"), "TIFF"), "this is a floating-point TIFF, which has no defined range"),
        (saved(SCENE.convert("I"), "TIFF"), "this is a TIFF of 32-bit or signed samples"),
        (saved(SCENE.convert("L"), "TIFF", tiffinfo={339: 2}), "this is a TIFF of 32-bit or signed samples"),
        (_with(saved(grey_16(SCENE), "TIFF"), 258, 12), "this is a TIFF of 12 bits a sample, not 1, 2, 4, 8 or 16"),
        (_with(saved(grey_16(SCENE), "TIFF"), 262, 0), "this is a 16-bit TIFF in which zero is white"),
    ],
)
def test_samples_without_a_range_are_refused_in_words(image: bytes, reason: str) -> None:
    with pytest.raises(NotServed, match=reason):
        _png(image, "tiff")


@pytest.mark.parametrize("name", ["gif", "tiff", pytest.param("avif", marks=needs_avif), "heic"])
def test_more_pixels_than_allowed_are_refused_before_they_are_decoded(name: str) -> None:
    form, make = MAKERS[name]
    image = make()
    with pytest.raises(TooLarge, match="301x226 is 68,026 pixels; at most 68,025"):
        _png(image, form, 68_025)
    assert _png(image, form, 68_026)


@pytest.mark.parametrize("name", ["gif", "tiff, LZW", "tiff", pytest.param("avif", marks=needs_avif), "heic"])
def test_a_truncated_image_is_refused_in_a_sentence(name: str) -> None:
    form, make = MAKERS[name]
    image = make()
    with pytest.raises(Undecodable, match=f"the {form.upper()} decoder cannot read it; it is damaged, incomplete or"):
        _png(image[: len(image) * 2 // 3], form)


@pytest.mark.parametrize("form", sorted(ALSO))
def test_bytes_of_another_format_are_not_decoded(form: str) -> None:
    if form == "heic":
        pytest.importorskip("pillow_heif")
    for other in (saved(SCENE, "PNG"), saved(SCENE, "JPEG"), b"", b"GIF89a"):
        with pytest.raises(Undecodable):
            _png(other, form)


def test_decoding_changes_nothing_for_others_who_use_pillow() -> None:
    before = set(Image.ID), Image.MAX_IMAGE_PIXELS
    _png(MAKERS["heic"][1](), "heic")
    assert (set(Image.ID) - {"GIF", "TIFF", "AVIF"}, Image.MAX_IMAGE_PIXELS) == (
        before[0] - {"GIF", "TIFF", "AVIF"},
        before[1],
    )
    assert "HEIF" not in Image.ID


def test_the_corpora_are_decoded_as_pillow_decodes_them_or_refused(corpora: list[Path]) -> None:
    decoded = 0
    for path in corpora:
        image = path.read_bytes()
        try:
            header = headers.read(image, frozenset(("gif", "tiff", "avif")))
        except headers.Refused:
            continue
        if header.format not in ALSO or header.width * header.height > ENOUGH:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                png = _png(image, header.format)
                expected = _upright_rgb(_pillow(image, header.format))
        except NotConverted:
            continue
        assert np.array_equal(_pixels(_upright_rgb(Image.open(io.BytesIO(png)))), _pixels(expected)), path.name
        decoded += 1
    assert decoded > 180
