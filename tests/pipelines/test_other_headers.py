"""What the headers of GIF, TIFF, AVIF and HEIC say is read only where asked for; hostile bytes give a refusal."""

from __future__ import annotations

import io
import struct
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features
from tests.pipelines.other_images import (
    ALSO,
    box,
    clear_at_the_edges,
    exif,
    grey_16,
    heic,
    isobmff,
    needs_avif,
    offset_gif,
    saved,
    scene,
    size,
)

from fovea_pipelines import headers
from fovea_pipelines.headers import Damaged, Empty, FormatNotServed, Header, NotAnImage, Refused

SIZE = (37, 23)
SCENE = scene(*SIZE)
GIF, TIFF = saved(SCENE.quantize(16), "GIF"), saved(SCENE, "TIFF")


def _read(image: bytes) -> Header:
    return headers.read(image, ALSO)


def _entry(tag: int, kind: int, count: int, value: int, order: str = "<") -> bytes:
    if kind == 3:
        return struct.pack(f"{order}HHIHxx", tag, kind, count, value)
    return struct.pack(f"{order}HHII", tag, kind, count, value)


def _tiff(*entries: bytes, order: str = "<") -> bytes:
    """A header and a first directory, without pixels."""
    mark = {"<": b"II", ">": b"MM"}[order]
    return mark + struct.pack(f"{order}HIH", 42, 8, len(entries)) + b"".join(entries) + bytes(4)


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_a_gif_has_the_size_of_its_screen(mode: str) -> None:
    assert _read(saved(SCENE.convert(mode), "GIF")) == Header("gif", *SIZE, 1)


def test_an_animated_gif_is_served_for_its_first_picture() -> None:
    assert _read(saved(SCENE, "GIF", save_all=True, append_images=[SCENE.rotate(90)])) == Header("gif", *SIZE, 1)


@pytest.mark.parametrize(
    ("place", "screen"), [((0, 0), (50, 40)), ((5, 6), (50, 40)), ((5, 6), (20, 10)), ((0, 0), (0, 0))]
)
def test_a_gif_is_as_large_as_what_pillow_makes_of_screen_and_first_picture(
    place: tuple[int, int], screen: tuple[int, int]
) -> None:
    image = offset_gif(*place, screen, SCENE)
    header = _read(image)
    assert (header.width, header.height) == Image.open(io.BytesIO(image)).size


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "F", "I"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_every_mode_of_tiff_has_its_size(mode: str, compression: str | None) -> None:
    assert _read(saved(SCENE.convert(mode), "TIFF", compression=compression)) == Header("tiff", *SIZE, 1)


def test_a_tiff_of_16_bits_has_its_size() -> None:
    assert _read(saved(grey_16(SCENE), "TIFF")) == Header("tiff", *SIZE, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_tiff_is_read_and_the_size_stays_as_stored(orientation: int) -> None:
    assert _read(saved(SCENE, "TIFF", tiffinfo={274: orientation})) == Header("tiff", *SIZE, orientation)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4])
def test_both_byte_orders_and_both_kinds_of_number_are_read(order: str, kind: int) -> None:
    numbers = (_entry(256, kind, 1, 37, order), _entry(257, kind, 1, 23, order), _entry(274, kind, 1, 6, order))
    assert _read(_tiff(*numbers, order=order)) == Header("tiff", 37, 23, 6)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_out_of_range_is_upright(orientation: int) -> None:
    numbers = (_entry(256, 3, 1, 37), _entry(257, 3, 1, 23), _entry(274, 3, 1, orientation))
    assert _read(_tiff(*numbers)).orientation == 1


def test_a_tiff_may_claim_any_size_and_the_gate_is_told_it() -> None:
    header = _read(_tiff(_entry(256, 4, 1, 2**32 - 1), _entry(257, 4, 1, 2**32 - 1)))
    assert header.width * header.height == (2**32 - 1) ** 2


@needs_avif
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_turn_of_an_avif_is_read_as_an_orientation(orientation: int) -> None:
    assert _read(saved(SCENE, "AVIF", exif=exif(orientation))) == Header("avif", *SIZE, orientation)


@needs_avif
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_every_mode_of_avif_has_its_size(mode: str) -> None:
    assert _read(saved(SCENE.convert(mode), "AVIF")) == Header("avif", *SIZE, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_turn_of_a_heic_is_read_as_an_orientation(orientation: int) -> None:
    assert _read(heic(SCENE, exif=exif(orientation))) == Header("heic", *SIZE, orientation)


def test_a_heic_with_alpha_or_of_tiles_has_its_size() -> None:
    assert _read(heic(clear_at_the_edges(SCENE))) == Header("heic", *SIZE, 1)
    assert _read(heic(scene(300, 200), tile_size=128)) == Header("heic", 300, 200, 1)


def test_what_an_encoder_added_to_fill_its_blocks_is_not_part_of_the_size_but_what_was_cut_off_is() -> None:
    def cut(width: int, height: int) -> bytes:
        return box(b"clap", struct.pack(">IIIIIIII", width, 1, height, 1, 0, 1, 0, 1))

    assert _read(isobmff(size(64, 64), cut(37, 23))) == Header("avif", 37, 23, 1)
    assert _read(isobmff(size(9000, 9000), cut(37, 23))) == Header("avif", 9000, 9000, 1)
    assert _read(isobmff(size(64, 64), cut(65, 23))) == Header("avif", 64, 64, 1)


def test_a_mirror_before_a_quarter_turn_is_the_other_mirror_after_it() -> None:
    turn, mirror = box(b"irot", b"\1"), box(b"imir", b"\0")
    assert _read(isobmff(size(4, 3), turn, mirror)).orientation == 5
    assert _read(isobmff(size(4, 3), mirror, turn)).orientation == 7


@pytest.mark.parametrize(("also", "compatible"), [("avif", b"avif"), ("heic", b"heic")])
def test_a_heif_of_no_codec_in_particular_is_what_its_further_brands_say(also: str, compatible: bytes) -> None:
    image = box(b"ftyp", b"mif1", bytes(4), b"mif1" + compatible) + isobmff(size(4, 3))[20:]
    assert headers.read(image, frozenset((also,))) == Header(also, 4, 3, 1)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("flags", [0, 1])
def test_every_form_of_the_table_of_properties_is_read(version: int, flags: int) -> None:
    item = struct.pack(">I" if version else ">H", 1)
    indexes = struct.pack(">BH" if flags else ">BB", 1, 0x8001 if flags else 0x81)
    ipma = box(b"ipma", bytes((version, 0, 0, flags)), struct.pack(">I", 1), item, indexes)
    assert _read(isobmff(size(4, 3), ipma=ipma)) == Header("avif", 4, 3, 1)


@pytest.mark.parametrize(
    ("image", "name", "what"),
    [
        (GIF, "gif", "a GIF"),
        (TIFF, "tiff", "a TIFF"),
        (isobmff(size(4, 3)), "avif", "an AVIF"),
        (isobmff(size(4, 3), brand=b"heic"), "heic", "a HEIC"),
    ],
)
def test_each_is_refused_unless_asked_for(image: bytes, name: str, what: str) -> None:
    with pytest.raises(FormatNotServed, match=rf"^this is {what}; served: JPEG, PNG, WebP, BMP$"):
        headers.read(image)
    rest = ", ".join(each.upper() for each in ("gif", "tiff", "avif", "heic") if each != name)
    with pytest.raises(FormatNotServed, match=rf"^this is {what}; served: JPEG, PNG, WebP, BMP, {rest}$"):
        headers.read(image, ALSO - {name})
    assert headers.read(image, frozenset((name,))).format == name


def test_what_is_served_is_said_to_whoever_sends_something_else() -> None:
    with pytest.raises(Empty, match=r"served: JPEG, PNG, WebP, BMP, GIF$"):
        headers.read(b"", frozenset(("gif",)))
    with pytest.raises(NotAnImage, match=r"no known image; served: JPEG, PNG, WebP, BMP, TIFF, HEIC$"):
        headers.read(b"hello world", frozenset(("heic", "tiff")))
    with pytest.raises(FormatNotServed, match=r"this is a PDF; served: JPEG, PNG, WebP, BMP, AVIF$"):
        headers.read(b"%PDF-1.4", frozenset(("avif",)))


@pytest.mark.parametrize(
    ("image", "what"),
    [
        (b"II+\0" + TIFF[4:], "a BigTIFF"),
        (isobmff(size(4, 3), brand=b"avis"), "a sequence of images"),
        (isobmff(size(4, 3), brand=b"hevc"), "a sequence of images"),
        (isobmff(size(4, 3), brand=b"msf1"), "a sequence of images"),
        (isobmff(size(4, 3), more=box(b"moov")), "a sequence of images"),
    ],
)
def test_what_is_not_served_even_so_is_named(image: bytes, what: str) -> None:
    with pytest.raises(FormatNotServed, match=f"this is {what}; served: JPEG"):
        _read(image)


_TABLE = 13 + 3 * 2 ** ((GIF[10] & 7) + 1)
_SIZED = (_entry(256, 3, 1, 37), _entry(257, 3, 1, 23))


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (GIF[:8], "it ends after 8 bytes, inside the GIF's screen; that takes 13"),
        (GIF[:20], "it ends after 20 bytes, inside the GIF's blocks"),
        (GIF[:_TABLE] + b";\0", "it ends before its first picture"),
        (GIF[:_TABLE] + b"\x99\0", "begins with 99, which is no block of a GIF"),
        (GIF[:_TABLE] + b"!\xfe\xff", "inside the GIF's blocks"),
        (GIF[:_TABLE] + b"!\xfe" + b"\1x" * 20_001 + b"\0" + GIF[_TABLE:], "more than 20,000 blocks before its first"),
        (GIF[:_TABLE] + b"," + bytes(4) + b"\0\0\5\0\0", "its first picture is 0x5, which has no pixels"),
        (GIF[:_TABLE] + b"," + bytes(4) + b"\5\0\5\0\x87", "inside the GIF's first picture"),
        (TIFF[:6], "it ends after 6 bytes, before the end of its first directory"),
        (b"II*\0\xff\xff\xff\xff", "before the end of its first directory"),
        (_tiff(*_SIZED)[:30], "before the end of its first directory"),
        (_tiff(), "does not say the width as one whole number"),
        (_tiff(_SIZED[0]), "does not say the height as one whole number"),
        (_tiff(_entry(256, 3, 2, 37), _SIZED[1]), "does not say the width as one whole number"),
        (_tiff(_entry(256, 5, 1, 37), _SIZED[1]), "does not say the width as one whole number"),
        (_tiff(*_SIZED, _SIZED[1]), "says the height twice"),
        (_tiff(_entry(256, 3, 1, 0), _SIZED[1]), "its header says 0x23, which has no pixels"),
        (_tiff(*_SIZED, *[_entry(1, 3, 1, 0)] * 600), "its first directory has 602 entries; at most 512"),
        (isobmff(size(4, 3))[:30], "claims [0-9]+ bytes; 10 are left"),
        (isobmff(size(4, 3))[:24], "inside the next box"),
        (isobmff(size(0, 3)), "0x3, which has no pixels"),
        (isobmff(), "its primary item has 0 sizes; one is needed"),
        (isobmff(size(4, 3), size(9, 9)), "its primary item has 2 sizes; one is needed"),
        (isobmff(box(b"ispe", bytes(4))), "its box ispe ends 8 bytes too early"),
        (isobmff(size(4, 3), box(b"clap", bytes(32))), "a fraction of zero parts"),
        (isobmff(size(4, 3), pitm=b""), "it has 0 boxes pitm where one is needed"),
        (isobmff(size(4, 3), ipma=b""), "its primary item has 0 lists of properties"),
        (isobmff(size(4, 3), pitm=box(b"pitm", bytes(4), b"\0\7")), "its primary item has 0 lists of properties"),
        (isobmff(size(4, 3), ipma=box(b"ipma", bytes(4), b"\0\0\0\1\0\1\xff")), "behind the end of the box ipma"),
        (isobmff(size(4, 3), ipma=box(b"ipma", bytes(4), b"\0\0\xff\xff")), "it has 65,535 items; at most 1,000"),
        (isobmff(size(4, 3), ipma=box(b"ipma", bytes(4), b"\0\0\0\2", b"\0\1\1\1" * 2)), "has 2 lists of properties"),
        (isobmff(size(4, 3), ipma=box(b"ipma", bytes(8)) * 5), "it has 5 boxes ipma; at most 4"),
        (isobmff(size(4, 3), more=box(b"meta", bytes(4))), "it has 2 boxes meta where one is needed"),
        (isobmff(size(4, 3), more=box(b"free") * 5000), "more than 4,096 boxes in one"),
        (isobmff(size(4, 3), more=struct.pack(">I4sQ", 1, b"free", 8)), "claims 8 bytes; 16 are left"),
    ],
)
def test_a_damaged_header_is_refused_with_the_place(image: bytes, reason: str) -> None:
    with pytest.raises(Damaged, match=reason):
        _read(image)


def test_a_box_may_have_a_size_of_64_bits_or_reach_to_the_end() -> None:
    for more in (struct.pack(">I4sQ", 1, b"mdat", 20) + bytes(4), struct.pack(">I4s", 0, b"mdat") + bytes(100)):
        assert _read(isobmff(size(4, 3), more=more)) == Header("avif", 4, 3, 1)


@pytest.mark.parametrize(
    "image",
    [
        GIF[:_TABLE] + b"!\xfe" + b"\1x" * 5_000_000,
        GIF[:_TABLE] + b"!\xfe\0" * 3_000_000,
        isobmff(size(4, 3), more=box(b"free") * 1_000_000),
        isobmff(*[box(b"free")] * 255, ipco=box(b"ipco", box(b"free") * 1_000_000)),
    ],
)
def test_many_megabytes_of_nothing_take_no_time(image: bytes) -> None:
    begin = time.process_time()
    with pytest.raises(Damaged):
        _read(image)
    assert time.process_time() - begin < 0.2


def _seeds() -> list[bytes]:
    seeds = [
        GIF,
        saved(SCENE, "GIF", save_all=True, append_images=[SCENE.rotate(90)], comment=b"words" * 100),
        TIFF,
        saved(SCENE, "TIFF", compression="tiff_lzw", tiffinfo={274: 6}),
        saved(grey_16(SCENE), "TIFF"),
        isobmff(size(4, 3), box(b"irot", b"\1"), box(b"imir", b"\1")),
    ]
    if features.check("avif"):
        seeds.append(saved(clear_at_the_edges(SCENE), "AVIF", exif=exif(6)))
    return seeds


SEEDS = _seeds()
STARTS = [b"GIF89a", GIF[:_TABLE], b"II*\0\x08\0\0\0", b"MM\0*", b"\0\0\0\x20ftypavif", isobmff(size(4, 3))[:60]]


def _told(image: bytes) -> Header | Refused:
    try:
        return _read(image)
    except Refused as refusal:
        return refusal


@given(st.sampled_from(STARTS), st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_random_bytes_give_facts_or_a_refusal(start: bytes, rest: bytes) -> None:
    _told(start + rest)


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 500), st.binary(max_size=4), st.integers(0, 4)), max_size=4),
    st.integers(0, 3000),
)
@settings(max_examples=1000, deadline=None)
def test_damaged_images_give_facts_or_a_refusal(seed: bytes, patches: list[tuple[int, bytes, int]], end: int) -> None:
    for offset, new, dropped in patches:
        seed = seed[:offset] + new + seed[offset + dropped :]
    for image in (seed, seed[:end]):
        found = _told(image)
        if isinstance(found, Header):
            assert found.width > 0
            assert found.height > 0
            assert 1 <= found.orientation <= 8


# Pillow decodes these too.
REFUSED_ALL_THE_SAME = {"crash-74d2a78403a5a59db1fb0a2b8735ac068a75f6e3.tif", "hopper_bigtiff.tif"}


def _pillow(image: bytes) -> tuple[int, int] | None:
    """The size, before it is turned upright, of what Pillow decodes to the end."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture: Any = Image.open(io.BytesIO(image), formats=("GIF", "TIFF", "AVIF"))
            stored = getattr(picture, "_tile_size", picture.size)
            picture.load()
            return stored
    except Exception:  # Pillow raises a dozen kinds on damaged files
        return None


def test_the_corpora_give_facts_or_a_refusal_and_pillow_agrees(corpora: list[Path]) -> None:
    agreed, disagreements = 0, []
    for path in corpora:
        image = path.read_bytes()
        found, expected = _told(image), _pillow(image)
        if expected is None or path.name in REFUSED_ALL_THE_SAME:
            continue
        agreed += 1
        if not isinstance(found, Header) or (found.width, found.height) != expected:
            disagreements.append((path.name, expected, found))
    assert not disagreements
    assert agreed > 180
