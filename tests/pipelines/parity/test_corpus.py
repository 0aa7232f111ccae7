"""The generated corpus has every kind of image there is, and is the same each time."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps
from tests.conftest import ROOT

from fovea_pipelines import headers
from fovea_pipelines.parity import corpus, encodings
from fovea_pipelines.parity.corpus import Specimen
from fovea_pipelines.parity.reduction import REDUCED
from fovea_pipelines.parity.scenes import scene

KINDS = {
    *(f"orientation-{number}" for number in range(1, 9)),
    *("jpeg", "png", "webp", "bmp", "grey", "cmyk", "cmyk-without-adobe", "ycck", "palette", "alpha", "icc"),
    *("16-bit", "1-bit", "chroma-444", "chroma-422", "chroma-420", "quality-30", "quality-75", "quality-95"),
    *("progressive", "odd", "tiny", "huge", "extreme", "generated"),
}


def _opened(specimens: list[Specimen], name: str) -> Image.Image:
    (content,) = (each.content for each in specimens if each.name == f"generated/{name}")
    return Image.open(io.BytesIO(content))


def test_every_kind_is_there(specimens: list[Specimen]) -> None:
    assert {kind for each in specimens for kind in each.kinds} == KINDS
    assert len({each.name for each in specimens}) == len(specimens) > 100


def test_the_documents_count_it_as_it_is(specimens: list[Specimen]) -> None:
    kinds = len(KINDS - {"generated"} | {REDUCED})
    assert f"on {len(specimens)} generated images of {kinds} kinds" in (ROOT / "README.md").read_text()
    assert f"on generated images of {kinds} kinds" in (ROOT / "docs/models.md").read_text()


def test_it_is_the_same_each_time_and_another_with_another_seed(specimens: list[Specimen]) -> None:
    again = corpus.generated()
    assert [next(again) for _ in range(20)] == specimens[:20]
    assert next(corpus.generated(seed=1)).content != specimens[0].content


def test_a_profile_does_not_say_when_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ImageCms.createProfile
    first = encodings.with_srgb_profile(scene(8, 8, 0), "PNG")
    monkeypatch.setattr(ImageCms, "createProfile", lambda name: _dated(made(name)))
    assert encodings.with_srgb_profile(scene(8, 8, 0), "PNG") == first


def _dated(profile: ImageCms.core.CmsProfile) -> io.BytesIO:
    content = bytearray(ImageCms.ImageCmsProfile(profile).tobytes())
    content[24:36] = b"\x07\xd0" + bytes((0, 1) * 5)
    return io.BytesIO(content)


def test_it_takes_less_than_five_seconds_of_one_core() -> None:
    began = time.process_time()
    assert sum(1 for _ in corpus.generated()) > 100
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("name", "mode", "size"),
    [
        ("cmyk-85.jpeg", "CMYK", (500, 375)),
        ("palette-256.png", "P", (500, 375)),
        ("alpha-grey.png", "LA", (500, 375)),
        ("16-bit-grey-3.png", "I;16", (500, 375)),
        ("1-bit.bmp", "1", (500, 375)),
        ("tiny-2x3.webp", "RGB", (2, 3)),
        ("huge-4000x3000.jpeg", "RGB", (4000, 3000)),
        ("extreme-40x3000.png", "RGB", (40, 3000)),
    ],
)
def test_a_kind_is_what_it_says(specimens: list[Specimen], name: str, mode: str, size: tuple[int, int]) -> None:
    opened = _opened(specimens, name)
    assert (opened.mode, opened.size) == (mode, size)


def test_every_orientation_shows_the_same_upright_scene(specimens: list[Specimen]) -> None:
    for number in range(1, 9):
        (each,) = (each for each in specimens if each.name == f"generated/orientation-{number}-portrait.png")
        header = headers.read(each.content)
        assert header.orientation == number
        assert (header.width > header.height) is (number > 4)


HELD = ("grey", "cmyk", "palette", "alpha", "16-bit", "progressive", "odd", "tiny", "extreme", "icc", "huge")


@pytest.mark.parametrize("kind", HELD)
def test_what_decoders_treat_in_their_own_way_is_held_in_every_way(specimens: list[Specimen], kind: str) -> None:
    held = {f"orientation-{number}": number for number in range(2, 9)}
    found = [(each, held[turn]) for each in specimens if kind in each.kinds for turn in held if turn in each.kinds]
    assert {orientation for _, orientation in found} == set(range(2, 9))
    for each, orientation in found:
        header = headers.read(each.content)
        assert header.orientation == orientation
        assert (header.width > header.height) is (orientation < 5)
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(each.content)))
        assert upright.width > upright.height


def test_ycck_is_read_as_the_colours_it_was_made_of() -> None:
    picture = scene(60, 40, 0)
    opened = Image.open(io.BytesIO(encodings.ycck(picture)))
    assert opened.info["adobe_transform"] == 2
    difference = np.asarray(opened.convert("RGB")).astype(int) - np.asarray(picture)
    assert np.abs(difference).mean() < 6


def test_16_bit_rgb_keeps_the_high_bytes() -> None:
    picture = scene(60, 40, 0)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encodings.rgb_16(picture)))), np.asarray(picture))


@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_a_wide_profile_is_one_and_means_clearly_other_colours(specimens: list[Specimen], form: str) -> None:
    opened = _opened(specimens, f"icc-wide.{form}")
    profile = ImageCms.ImageCmsProfile(io.BytesIO(opened.info["icc_profile"]))
    assert (profile.profile.version, profile.profile.is_matrix_shaper) == (2.4, True)
    np.testing.assert_allclose(profile.profile.green_colorant[0], (0.205, 0.626, 0.061), atol=1e-3)
    meant = ImageCms.profileToProfile(opened, profile, ImageCms.createProfile("sRGB"))
    assert np.abs(np.asarray(opened).astype(int) - np.asarray(meant)).mean() > 4


def test_those_who_take_images_by_their_place_get_the_same_ones(specimens: list[Specimen]) -> None:
    names = [each.name.partition("/")[2] for each in specimens[48:97:24]]
    assert names == ["orientation-6-xmp.webp", "chroma-444-5.jpeg", "odd-257x225.webp"]


def test_a_folder_is_read_by_name_with_what_lies_below(tmp_path: Path, specimens: list[Specimen]) -> None:
    (tmp_path / "below").mkdir()
    for name in ("b.png", "a.JPG", "below/c.webp", "notes.txt"):
        (tmp_path / name).write_bytes(specimens[0].content)
    found = list(corpus.from_folder(tmp_path))
    assert [each.name.partition("/")[2] for each in found] == ["a.JPG", "b.png", "below/c.webp"]
    assert found[0].kinds == ("photographs",)


def test_a_limit_spreads_over_the_folder(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.png").touch()
    assert [path.name for path in corpus.files(tmp_path, 3)] == ["0.png", "3.png", "6.png"]
    assert len(corpus.files(tmp_path, 99)) == 10


def test_a_name_that_is_no_text_is_one_in_reports(tmp_path: Path) -> None:
    (tmp_path / b"caf\xe9.png".decode(errors="surrogateescape")).touch()
    (tmp_path / "猫.png").touch()
    found = sorted(each.name.partition("/")[2] for each in corpus.from_folder(tmp_path))
    assert found == [r"caf\xe9.png", "猫.png"]
