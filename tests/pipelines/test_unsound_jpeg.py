"""A JPEG whose pixels break off is what Pillow makes of it, and leaves no memory behind."""

from __future__ import annotations

import io

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image

from fovea_pipelines import headers, reference, unsound_jpeg
from fovea_pipelines.dali_executor import DaliExecutor, DaliGpuExecutor, Device, OnDevice, Preprocessed, Undecodable
from fovea_pipelines.package import ModelPackage

END = b"\xff\xd9"
COMMENT = b"\xff\xfe\x00\x06abcd"
TABLE = b"\xff\xdb\x00\x43\x00" + bytes([1] * 64)


@pytest.fixture(scope="module")
def picture(espresso: bytes) -> Image.Image:
    return Image.open(io.BytesIO(espresso)).convert("RGB").resize((600, 400))


@pytest.fixture(scope="module")
def sound(picture: Image.Image) -> bytes:
    return _jpeg(picture)


@pytest.fixture(scope="module")
def executor(package: ModelPackage) -> DaliExecutor:
    return DaliExecutor(package.contract, max_batch=8, threads=2)


def _jpeg(picture: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", **options)
    return file.getvalue()


def _array(image: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(image, np.uint8)


def _is_one(image: bytes) -> bool:
    return unsound_jpeg.is_one(_array(image), headers.read(image))


def _broken(image: bytes, marker: int, at: float = 0.6) -> bytes:
    place = int(len(image) * at)
    return image[:place] + bytes((0xFF, marker)) + image[place + 2 :]


def test_whole_jpegs_of_every_kind_are_sound(picture: Image.Image, sound: bytes) -> None:
    for options in ({}, {"progressive": True}, {"restart_marker_blocks": 4}, {"subsampling": 0}, {"quality": 100}):
        assert not _is_one(_jpeg(picture, **options))
    assert not _is_one(_jpeg(picture.convert("L")))
    assert not _is_one(_jpeg(picture.convert("CMYK")))
    assert not _is_one(sound + b"and what a camera left behind it" + sound)
    assert not _is_one(sound[:-2] + COMMENT * 3 + b"\xff" + END)


@pytest.mark.parametrize(
    "damage",
    [
        lambda image: image[:-2],
        lambda image: image[:-1],
        lambda image: image[: len(image) // 2],
        lambda image: image[:-2] + bytes(64),
        lambda image: image[:-2] + COMMENT,
        lambda image: image[:-2] + b"\xff\xfe\xff\xff" + END,
        lambda image: image[:-2] + TABLE + END,
        lambda image: _broken(image, 0x8F),
        lambda image: _broken(image, 0x01),
        lambda image: image[:-2] + b"\xff\xfe\x00\x02" * 5_000_000 + END,
        lambda image: image[: image.index(b"\xff\xda") + 14],
        lambda image: image[: image.index(b"\xff\xda") + 15],
    ],
    ids=[
        "no end",
        "half an end",
        "half",
        "zeros",
        "comment alone",
        "long comment",
        "table",
        "reserved",
        "TEM",
        "five million comments",
        "no pixels",
        "one byte",
    ],
)
def test_whatever_else_follows_the_pixels_is_not(sound: bytes, damage: object) -> None:
    assert _is_one(damage(sound))  # type: ignore[operator]


def test_a_jpeg_of_several_scans_and_no_jpeg_are_left_to_dali(picture: Image.Image, sound: bytes) -> None:
    assert not _is_one(_broken(_jpeg(picture, progressive=True), 0x8F))
    png = io.BytesIO()
    picture.save(png, "PNG")
    assert not _is_one(png.getvalue())


@pytest.mark.parametrize("marker", [*range(0x01, 0x100, 9), 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xFE, 0xE1, 0xDC])
def test_its_pixels_or_its_refusal_are_pillows(
    executor: DaliExecutor, package: ModelPackage, sound: bytes, marker: int
) -> None:
    image = _broken(sound, marker)
    (result,) = executor.run([_array(image)])
    try:
        expected = reference.pixels(image, package.contract)
    except reference.Unreadable:
        assert isinstance(result, Undecodable)
        assert "damaged or incomplete" in str(result)
    else:
        assert isinstance(result, Preprocessed)
        assert np.abs(expected.astype(int) - result.pixels).mean() < 0.5


def test_a_file_padded_in_place_of_its_end_is_served_as_pillow_reads_it(
    executor: DaliExecutor, package: ModelPackage, sound: bytes
) -> None:
    image = sound[:-2] + bytes(1000)
    (result,) = executor.run([_array(image)])
    assert isinstance(result, Preprocessed)
    assert np.abs(reference.pixels(image, package.contract).astype(int) - result.pixels).mean() < 0.5


def test_inks_without_a_mark_and_orientations_stay_what_they_are(
    executor: DaliExecutor, package: ModelPackage, picture: Image.Image
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for image in (_jpeg(picture.convert("CMYK")), _jpeg(picture, exif=exif)):
        unmarked = image.replace(b"\xff\xee\x00\x0eAdobe", b"\xff\xed\x00\x0eNobod")
        (result,) = executor.run([_array(unmarked[:-2] + bytes(100))])
        (expected,) = executor.run([_array(unmarked)])
        assert isinstance(result, Preprocessed)
        assert isinstance(expected, Preprocessed)
        assert np.abs(expected.pixels.astype(int) - result.pixels).mean() < 0.5


def test_the_graph_of_the_gpu_gets_it_in_the_same_form(package: ModelPackage, sound: bytes) -> None:
    executor = DaliGpuExecutor(package.contract, 8, 2, Device(place=None))
    padded, broken, whole = executor.run([_array(sound[:-2] + bytes(9)), _array(_broken(sound, 0x8F)), _array(sound)])
    assert isinstance(broken, Undecodable)
    assert isinstance(padded, OnDevice)
    assert isinstance(whole, OnDevice)
    np.testing.assert_array_equal(np.from_dlpack(padded.pixels), np.from_dlpack(whole.pixels))


@pytest.mark.parametrize("progressive", [False, True])
def test_what_breaks_off_leaves_no_memory_behind(
    executor: DaliExecutor, picture: Image.Image, progressive: bool
) -> None:
    whole = _jpeg(picture, progressive=progressive)
    images = [_array(_broken(whole, marker)) for marker in (0x8F, 0xE0, 0xDB)]
    for image in images * 4:
        executor.run([image])
    before = psutil.Process().memory_info().rss
    for image in images * 20:
        executor.run([image])
    # DALI left 0.69 MB of each, 41 MB in all.
    assert psutil.Process().memory_info().rss - before < 15e6


def test_want_of_memory_is_not_blamed_on_the_image(
    executor: DaliExecutor, sound: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "save", full)
    (result,) = executor.run([_array(sound[:-2] + bytes(9))])
    assert isinstance(result, RuntimeError)
    assert "no memory for the pixels of 600x400" in str(result)
