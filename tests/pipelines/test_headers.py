"""What a header says is read without decoding; whatever the bytes, the answer is facts or a refusal with its reason."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fovea_pipelines import headers
from fovea_pipelines.headers import Damaged, Empty, FormatNotServed, Header, NotAnImage, Refused, webp

SIZE = (37, 23)
MODES = {
    "jpeg": ("L", "RGB", "CMYK"),
    "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "webp": ("RGB", "RGBA"),
    "bmp": ("1", "L", "P", "RGB", "RGBA"),
}


def _image(kind: str, mode: str = "RGB", orientation: int | None = None, **options: Any) -> bytes:
    picture = Image.linear_gradient("L").resize(SIZE)
    if orientation:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif.tobytes()
    buffer = io.BytesIO()
    picture.convert(mode).save(buffer, kind.upper(), **options)
    return buffer.getvalue()


def _tiff(orientation: int, order: str = "<", more: bytes = b"", mark: bytes = b"") -> bytes:
    mark = mark or {"<": b"II", ">": b"MM"}[order]
    entries = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0) + more
    return mark + struct.pack(f"{order}HIH", 42, 8, len(entries) // 12) + entries + bytes(4)


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _jpeg(*segments: bytes) -> bytes:
    plain = _image("jpeg")
    return plain[:2] + b"".join(segments) + plain[2:]


def _exif_segment(tiff: bytes) -> bytes:
    return _segment(0xE1, b"Exif\0\0" + tiff)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(*chunks: bytes) -> bytes:
    plain = _image("png")
    return plain[:33] + b"".join(chunks) + plain[33:]


def _riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _extended(flags: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP of 37x23 pixels with the chunks around its own VP8L chunk, which `PIXELS` stands for."""
    width, height = (struct.pack("<I", side - 1)[:3] for side in SIZE)
    return _riff((b"VP8X", bytes((flags, 0, 0, 0)) + width + height), *chunks)


def _pixels() -> tuple[bytes, bytes]:
    data = _image("webp", lossless=True)[20:]
    return b"VP8L", data + bytes(len(data) % 2)


PIXELS = _pixels()
DAMAGED = struct.pack("<HHII", 0x0131, 2, 100, 99_999)  # the name of a program, beyond the end


def _patched(image: bytes, offset: int, layout: str, *values: int) -> bytes:
    new = struct.pack(layout, *values)
    return image[:offset] + new + image[offset + len(new) :]


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in MODES.items() for mode in modes])
def test_every_mode_of_every_served_format_has_its_size(kind: str, mode: str) -> None:
    image = _image(kind, mode)
    assert headers.read(image) == Header(kind, *SIZE, 1)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_read_and_the_size_stays_as_stored(kind: str, orientation: int) -> None:
    image = _image(kind, orientation=orientation)
    facts = headers.read(image)
    assert (facts.width, facts.height, facts.orientation) == (*SIZE, orientation)
    assert Image.open(io.BytesIO(image)).getexif()[0x0112] == orientation


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}])
def test_jpegs_of_other_makes_are_read(options: dict[str, Any]) -> None:
    facts = headers.read(_image("jpeg", **options))
    assert (facts.width, facts.height) == SIZE


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"lossless": True, "exact": True}])
def test_webps_of_other_makes_are_read(options: dict[str, Any]) -> None:
    facts = headers.read(_image("webp", "RGBA", **options))
    assert (facts.width, facts.height) == SIZE


def test_fill_bytes_before_a_marker_are_skipped() -> None:
    assert headers.read(_jpeg(b"\xff" * 1000)).width == SIZE[0]


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_of_exif_are_read(order: str) -> None:
    assert headers.read(_jpeg(_exif_segment(_tiff(6, order)))).orientation == 6


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_out_of_range_is_upright(orientation: int) -> None:
    assert headers.read(_jpeg(_exif_segment(_tiff(orientation)))).orientation == 1


@pytest.mark.parametrize("block", [b"", b"II", b"II*\0\xff\xff\xff\xff", _tiff(6)[:12], b"II+\0" + _tiff(6)[4:]])
def test_damaged_exif_in_which_nobody_finds_an_orientation_is_upright(block: bytes) -> None:
    assert headers.read(_jpeg(_exif_segment(block))).orientation == 1


@pytest.mark.parametrize(("compression", "masks"), [(0, b""), (3, struct.pack("<III", 0xF800, 0x7E0, 0x1F))])
def test_a_bmp_of_16_bits_a_pixel_is_refused_for_its_decoders_differ(compression: int, masks: bytes) -> None:
    header = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 16, compression, 4, 0, 0, 0, 0) + masks
    image = b"BM" + struct.pack("<IHHI", 14 + len(header) + 4, 0, 0, 14 + len(header)) + header + bytes(4)
    with pytest.raises(FormatNotServed, match="this is a BMP of 16 bits a pixel"):
        headers.read(image)


def test_xmp_before_exif_hides_nothing() -> None:
    xmp = _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>")
    assert headers.read(_jpeg(xmp, _exif_segment(_tiff(6)))).orientation == 6


def test_exif_behind_the_pixels_of_a_png_counts() -> None:
    plain = _image("png")
    assert headers.read(plain[:-12] + _chunk(b"eXIf", _tiff(6)) + plain[-12:]).orientation == 6


def test_exif_that_a_webp_does_not_announce_does_not_count() -> None:
    assert headers.read(_extended(0, PIXELS, (b"EXIF", _tiff(6)))).orientation == 1


def _wrong_checksum(chunk: bytes) -> bytes:
    return chunk[:-1] + bytes((chunk[-1] ^ 1,))


# On each of these one half of the decoder turns the image and the other does not, which writes past a buffer.
@pytest.mark.parametrize(
    "image",
    [
        _jpeg(_exif_segment(_tiff(6)), _exif_segment(_tiff(3))),
        _jpeg(_exif_segment(_tiff(6, more=DAMAGED))),
        _jpeg(_exif_segment(_tiff(6, ">", mark=b"XX"))),
        _png(_chunk(b"eXIf", _tiff(6)), _chunk(b"eXIf", _tiff(3))),
        _png(_chunk(b"eXIf", _tiff(6, more=DAMAGED))),
        _png(_chunk(b"eXIf", _tiff(6, ">", mark=b"MI"))),
        _png(_wrong_checksum(_chunk(b"eXIf", _tiff(6)))),
        _extended(8, PIXELS, (b"EXIF", _tiff(6, more=DAMAGED))),
        _extended(8, PIXELS, (b"EXIF", _tiff(6)), (b"EXIF", _tiff(3))),
    ],
)
def test_exif_that_can_be_read_in_two_ways_is_refused(image: bytes) -> None:
    with pytest.raises(Damaged, match=r"its EXIF can be read as orientation [13] or 6"):
        headers.read(image)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (_extended(0x88, PIXELS, (b"EXIF", _tiff(6))), "flags are 88, of which 80 are reserved"),
        (_extended(8, PIXELS), "promises EXIF, but it has none"),
        (_extended(8, PIXELS, PIXELS, (b"EXIF", _tiff(6))), "its chunks are not in order"),
        (
            _patched(_extended(8, PIXELS, (b"EXIF", _tiff(6))), -len(_tiff(6)) - 4, "<I", 0xFFFFFFF0),
            "claims 4,294,967,",
        ),
    ],
)
def test_exif_that_only_some_readers_of_a_webp_find_is_refused(image: bytes, reason: str) -> None:
    with pytest.raises(Damaged, match=reason):
        headers.read(image)


def test_exif_behind_an_odd_chunk_of_a_webp_counts_and_the_decoder_is_given_an_even_one() -> None:
    odd = _extended(8, (b"ICCP", b"odd"), PIXELS, (b"EXIF", _tiff(6)), (b"XMP ", b"odd"))
    assert headers.read(odd).orientation == 6
    even = headers.evened(odd)
    assert headers.read(even) == headers.read(odd)
    sizes = [size for _, _, size in webp._chunks(even, len(even))]
    assert (len(even), sizes[1], sizes[-1]) == (len(odd), 4, 3)  # what lies behind the EXIF may be as it is
    for image in (even, _extended(8, PIXELS, (b"EXIF", _tiff(6))), _extended(0, (b"ICCP", b"odd"), PIXELS)):
        assert headers.evened(image) is image
    plain = _image("webp")
    assert headers.evened(plain) is plain


def test_nothing_is_no_image() -> None:
    with pytest.raises(Empty, match="no image was sent; served: JPEG, PNG, WebP, BMP"):
        headers.read(b"")


@pytest.mark.parametrize("text", [b"hello world", b"RIFF\0\0\0\0WAVE", b"\0", b"<html>", b"RIFF"])
def test_other_bytes_are_no_image_and_are_shown(text: bytes) -> None:
    with pytest.raises(NotAnImage, match=f"the first bytes, {text[:8].hex(' ')}, are of no known image"):
        headers.read(text)


@pytest.mark.parametrize(
    ("image", "what"),
    [
        (_image("gif", "P"), "a GIF"),
        (_image("tiff"), "a TIFF"),
        (_image("jpeg2000"), "a JPEG 2000"),
        (_image("ico"), "an icon or cursor"),
        (_image("pdf"), "a PDF"),
        (_image("ppm"), "a PNM"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "an AVIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "a HEIF"),
        (b"\xff\x0a\xfa\x1f", "a JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"),
        (_image("png", save_all=True, append_images=[Image.new("L", SIZE)]), "an animated PNG"),
        (_image("webp", save_all=True, append_images=[Image.new("RGB", SIZE)]), "an animated WebP"),
    ],
)
def test_what_is_known_but_not_served_is_named(image: bytes, what: str) -> None:
    with pytest.raises(FormatNotServed, match=f"this is {what}; served: JPEG, PNG, WebP, BMP"):
        headers.read(image)


def _frame(image: bytes) -> int:
    return image.index(b"\xff\xc0")


@pytest.mark.parametrize(
    ("marker", "what"),
    [(0xC3, "a lossless"), (0xC5, "a hierarchical"), (0xC9, "an arithmetic-coded"), (0xCA, "an arithmetic-coded")],
)
def test_jpegs_of_rare_processes_are_not_served(marker: int, what: str) -> None:
    image = _jpeg()
    with pytest.raises(FormatNotServed, match=f"this is {what} JPEG"):
        headers.read(_patched(image, _frame(image) + 1, "B", marker))


def test_a_jpeg_of_twelve_bits_is_not_served() -> None:
    image = _jpeg()
    with pytest.raises(FormatNotServed, match="a JPEG of 12 bits a sample, not 8"):
        headers.read(_patched(image, _frame(image) + 4, "B", 12))


def _scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated until there are `count`."""
    image = _image("jpeg", progressive=True)
    have, last = image.count(b"\xff\xda"), image.rindex(b"\xff\xda")
    return image[:-2] + image[last:-2] * (count - have) + image[-2:]


def test_few_bytes_cannot_ask_for_many_passes_over_the_pixels() -> None:
    assert headers.read(_scans(64)).width == SIZE[0]
    with pytest.raises(Damaged, match="more than 64 scans"):
        headers.read(_scans(65))


def _one_component_a_scan(count: int) -> bytes:
    """A sequential JPEG whose first scan is of one component, repeated until there are `count`."""
    image = _image("jpeg")
    scan = image.index(b"\xff\xda")
    one = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + bytes(4)
    return image[:scan] + one * count + image[-2:]


def test_a_sequential_jpeg_cannot_ask_for_many_passes_either() -> None:
    assert headers.read(_one_component_a_scan(64)).width == SIZE[0]
    with pytest.raises(Damaged, match="more than 64 scans"):
        headers.read(_one_component_a_scan(3000))


_J, _P, _W, _B = _image("jpeg"), _image("png"), _image("webp"), _image("bmp")


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"\xff\xd8", "no JPEG marker at byte 2 of 2"),
        (_J[:2] + b"junk" + _J[2:], "no JPEG marker at byte 2 "),
        (_J[: _frame(_J)], "no JPEG marker at byte"),
        (_J[: _frame(_J) + 6], "inside JPEG segment FF C0"),
        (_J[:2] + b"\xff\xd9", "no frame header"),
        (_J[:2] + _J[_J.index(b"\xff\xda") :], "no frame header"),
        (_J[: _J.index(b"\xff\xda")] + b"\xff\xd9", "before its first scan"),
        (_jpeg(b"\xff\xe0\0\1"), "is 1 bytes long"),
        (_jpeg(b"\xff\xd0"), "marker FF D0 at byte 3 does not belong"),
        (_jpeg(_segment(0xC0, struct.pack(">BHHB9x", 8, 5, 5, 3))), "second frame header"),
        (_jpeg(_segment(0xE0, b"") * 2000), "more than 1,024 segments"),
        (_jpeg((b"\xff" * 900 + _segment(0xE0, b"")) * 80), "more than 65,536 fill bytes before its markers"),
        (_jpeg(_exif_segment(_tiff(6)) * 5), "more than 4 EXIF blocks"),
        (_jpeg(_exif_segment(_tiff(6, more=bytes(12 * 600)))), "EXIF has 601 entries; at most 512"),
        (_patched(_J, _frame(_J) + 5, ">HH", 0, 40), "40x0, which has no pixels"),
        (_patched(_J, _frame(_J) + 5, ">HH", 40, 0), "0x40, which has no pixels"),
        (_patched(_J, _frame(_J) + 9, "B", 2), "this one has 2"),
        (_patched(_J, _frame(_J) + 9, "B", 4), "17 bytes long; 4 components need 20"),
        (_P[:8], "it ends after 8 bytes, inside the PNG chunk IHDR"),
        (_P.replace(b"\r\n", b"\n"), "signature is damaged"),
        (_P[:8] + _P[33:], "begins with an IHDR chunk of 13 bytes; this one with IDAT"),
        (_patched(_P, 16, ">I", 0), "0x23, which has no pixels"),
        (_patched(_P, 16, ">I", 2**31), "2147483648x23 is larger"),
        (_P[:-13], "inside the PNG chunk IDAT"),
        (_P[:-12], "inside the next PNG chunk"),
        (_patched(_P, len(_P) - 12, ">I", 2**30), "inside the PNG chunk IEND"),
        (
            _png(_patched(_chunk(b"eXIf", _tiff(6)), 0, ">I", 2**32 - 16)),
            "inside the PNG chunk eXIf; that takes 4,294,",
        ),
        (_png(_chunk(b"IDAT", b"") * 5_000), "more than 5,000 chunks"),
        (_png(_chunk(b"tEXt", b"") * 1_001), "more than 1,000 chunks beside its pixels"),
        (_W[:-1], "inside the WebP container"),
        (_riff((b"ABCD", bytes(30))), "VP8, VP8L or VP8X"),
        (_riff((b"VP8 ", bytes(30))), "key frame"),
        (_riff((b"VP8 ", b"\0\0\0\x9d\x01\x2a\0\0\5\0")), "0x5, which has no pixels"),
        (_riff((b"VP8L", bytes(30))), "begins with 00, not 2f"),
        (_riff((b"VP8X", bytes(4))), "VP8X chunk has 4 bytes"),
        (_extended(8, *[(b"abcd", b"")] * 1000), "more than 1,000 chunks"),
        (b"BM", "it ends after 2 bytes, inside the BMP header"),
        (_B[:40], "it ends after 40 bytes, inside the BMP header; that takes 54"),
        (_patched(_B, 14, "<I", 2**31 - 1), "claims 2,147,483,647 bytes"),
        (_patched(_B, 18, "<i", 0), "0x23, which has no pixels"),
        (_patched(_B, 18, "<i", -37), "-37x23 cannot be"),
        (_patched(_B, 22, "<i", -(2**31)), "37x-2147483648 cannot be"),
        (_patched(_B, 10, "<I", 2**32 - 16), "its pixels begin at byte 4,294,967,280"),
    ],
)
def test_a_damaged_header_is_refused_with_the_place(image: bytes, reason: str) -> None:
    with pytest.raises(Damaged, match=reason):
        headers.read(image)


def test_a_bmp_may_begin_with_its_top_row_or_come_from_os2() -> None:
    row = (SIZE[0] * 24 + 31) // 32 * 4
    core = b"BM" + struct.pack("<8xIIHHHH", 26, 12, *SIZE, 1, 24) + bytes(row * SIZE[1])
    for image in (_patched(_B, 22, "<i", -SIZE[1]), core):
        facts = headers.read(image)
        assert (facts.width, facts.height) == SIZE


@pytest.mark.parametrize(
    ("bits", "compression", "what"),
    [(4, 2, "compressed by RLE4"), (0, 4, "holds a JPEG"), (0, 5, "holds a PNG"), (16, 0, "16 bits"), (2, 0, "2 bits")],
)
def test_a_sound_bmp_of_a_kind_that_the_decoders_do_not_read_is_not_called_damaged(
    bits: int, compression: int, what: str
) -> None:
    with pytest.raises(FormatNotServed, match=f"this is a BMP .*{what}"):
        headers.read(_patched(_B, 28, "<HI", bits, compression))


def _read(image: bytes) -> Header | Refused:
    try:
        return headers.read(image)
    except Refused as refusal:
        return refusal


def test_a_webp_may_have_its_exif_prefixed_as_in_a_jpeg() -> None:
    image = _image("webp", orientation=6)
    place = image.index(b"EXIF")
    (size,) = struct.unpack_from("<I", image, place + 4)
    data = b"Exif\0\0" + image[place + 8 : place + 8 + size]
    chunk = b"EXIF" + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    prefixed = image[:place] + chunk + image[place + 8 + size + size % 2 :]
    assert headers.read(_patched(prefixed, 4, "<I", len(prefixed) - 8)).orientation == 6


def test_a_jpeg_of_four_inks_says_whether_it_is_marked() -> None:
    marked = _image("jpeg", "CMYK")
    place = marked.index(b"\xff\xee")
    (size,) = struct.unpack_from(">H", marked, place + 2)
    unmarked = marked[:place] + marked[place + 2 + size :]
    assert not headers.read(marked).unmarked_inks
    assert headers.read(unmarked).unmarked_inks
    assert not headers.read(_image("jpeg")).unmarked_inks


SEEDS = [
    *(_image(kind, mode) for kind, modes in MODES.items() for mode in modes),
    *(_image(kind, orientation=6) for kind in ("jpeg", "png", "webp")),
    _image("jpeg", progressive=True),
    _image("webp", lossless=True),
]
STARTS = [
    b"",
    b"\xff\xd8",
    b"\xff\xd8\xff\xe1",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\x10\0\0\0WEBPVP8X",
    b"BM",
    b"\0\0\0\x20ftyp",
]


@given(st.sampled_from(STARTS), st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_random_bytes_give_facts_or_a_refusal(start: bytes, rest: bytes) -> None:
    _read(start + rest)


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=4), st.integers(0, 4)), max_size=4),
    st.integers(0, 2000),
)
@settings(max_examples=1000, deadline=None)
def test_damaged_images_give_facts_or_a_refusal(seed: bytes, patches: list[tuple[int, bytes, int]], end: int) -> None:
    for offset, new, dropped in patches:
        seed = seed[:offset] + new + seed[offset + dropped :]
    for image in (seed, seed[:end]):
        found = _read(image)
        if isinstance(found, Header):
            assert found.width > 0
            assert found.height > 0
            assert 1 <= found.orientation <= 8


# Pillow decodes these; DALI 2.4, like us, does not.
DAMAGED_BUT_SHOWN_BY_PILLOW = {
    "fuzz/jpeg/ac3cebe2394e826218ac8d863a9dae7004b1bcdb-1": "garbage between segments",
    "fuzz/png/902493e2a117787bf9cd4fd1115f879f7234019b-8": "ends inside a chunk",
    "fuzz/png/df6c8819922811197eb8b17369e379060099fce8-1": "ends inside a chunk",
    "fuzz/png/f90ba0941f308d9350d75649a8a8af5891677935-3": "ends inside a chunk",
    "fuzz/png/ff341f97c6db6ad42ed0c8750f072cd2e076426b-4": "ends inside a chunk",
    "pillow/jpeg_ff00_header.jpg": "garbage between segments",
    "pillow/junk_jpeg_header.jpg": "garbage between segments",
    "pillow/photoshop-200dpi-broken.jpg": "garbage between segments",
    "pillow/truncated_app14.jpg": "a segment shorter than it says",
}
ANIMATED = "this is an animated"


def _size_in_pillow(image: bytes) -> tuple[int, int] | None:
    """The size of an image in a served format that Pillow decodes to the end."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(image), formats=("JPEG", "MPO", "PNG", "WEBP", "BMP"))
            picture.load()
            return picture.size
    except Exception:  # Pillow raises a dozen kinds on damaged files
        return None


def test_the_corpora_give_facts_or_a_refusal_and_pillow_agrees(corpora: list[Path]) -> None:
    disagreements = []
    for path in corpora:
        image = path.read_bytes()
        found, expected = _read(image), _size_in_pillow(image)
        name = "/".join(path.parts[path.parts.index("corpora") + 1 :])
        if expected is None or name in DAMAGED_BUT_SHOWN_BY_PILLOW:
            continue
        if isinstance(found, FormatNotServed) and str(found).startswith(ANIMATED):
            continue
        if not isinstance(found, Header) or (found.width, found.height) != expected:
            disagreements.append((name, expected, found))
    assert not disagreements
