"""What promises or holds too much is refused by its header alone, at once and for next to no memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest
from tests.hostile_images import bombs, chunk, gif, jpeg, packed, png, segment, tiff, webp

from fovea_pipelines import headers
from fovea_server.errors import FoveaError, TooManyFrames, TooMuchMetadata
from fovea_server.request.gate import Gate, GateSettings

_ALSO = frozenset(headers.ON_REQUEST)
_SECONDS, _BYTES = 1.0, 50_000_000  # what a machine that others use too can be held to; the drill has the figures
gate = Gate(GateSettings())
BOMBS = list(bombs())


def _refused(image: bytes, error: type[FoveaError]) -> tuple[float, int]:
    """Seconds of this process, and bytes at the peak."""
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(error):
            gate.facts(image, _ALSO)
        return time.process_time() - began, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("name", "image", "error"), BOMBS, ids=[name for name, _, _ in BOMBS])
def test_a_bomb_is_refused_by_its_header(
    name: str, image: bytes, error: type[FoveaError], record_property: Callable[[str, object], None]
) -> None:
    seconds, peak = _refused(image, error)
    record_property(name, f"{1000 * seconds:.2f} ms, {peak / 1e6:.2f} MB")
    assert seconds < _SECONDS
    assert peak < _BYTES


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (gif(1_001), TooManyFrames),
        (tiff(1_001), TooManyFrames),
        (gif(1, comment=bytes(3_000_000)), None),
        (tiff(1, (0x02BC, 1, 9_000_000, 0)) + bytes(9_000_000), TooMuchMetadata),
    ],
    ids=["gif of many", "tiff of many", "gif with a comment", "tiff with xmp"],
)
def test_formats_on_request_are_held_to_the_same_limits(image: bytes, error: type[FoveaError] | None) -> None:
    if error is None:
        assert gate.facts(image, _ALSO).bytes == len(image)
        return
    with pytest.raises(error):
        gate.facts(image, _ALSO)


@pytest.mark.parametrize(
    ("image", "metadata", "profile", "frames"),
    [
        (jpeg(3, 2, segment(0xE1, b"Exif\0\0" + bytes(92)) + segment(0xFE, b"hello")), 98 + 5 + 4, 0, 1),
        (jpeg(3, 2, segment(0xE2, b"ICC_PROFILE\0" + bytes(88))), 0, 102, 1),
        (png(3, 2, chunk(b"tEXt", bytes(50)) + chunk(b"iCCP", bytes(70)) + chunk(b"gAMA", bytes(4))), 54, 70, 1),
        (webp(3, 2, 0, (b"ICCP", bytes(40)), (b"VP8L", bytes(10)), (b"XMP ", bytes(30))), 30, 40, 1),
        (gif(12, comment=b"x" * 300), 2 + 302 + 1, 0, 12),
        (tiff(7, (0x8773, 7, 20, 8), (0x010E, 2, 30, 8)), 30, 20, 7),
    ],
    ids=["jpeg", "jpeg profile", "png", "webp", "gif", "tiff"],
)
def test_what_an_image_carries_is_counted(image: bytes, metadata: int, profile: int, frames: int) -> None:
    load = headers.read(image, _ALSO).load
    assert (load.metadata, load.profile, load.frames) == (metadata, profile, frames)


def test_a_few_compressed_texts_are_served_and_so_are_many_plain_ones() -> None:
    assert gate.facts(png(37, 23, chunk(b"zTXt", b"k\0\0" + packed(1000)) * 20)).width == 37
    assert gate.facts(png(37, 23, chunk(b"iTXt", b"k\0\0\0\0\0plain") * 500)).width == 37


@pytest.mark.parametrize("compressed", [b"k\0\0" + packed(9), b"k\0\1\0\0\0" + packed(9)], ids=["zTXt", "iTXt"])
def test_many_compressed_texts_are_not(compressed: bytes) -> None:
    kind = b"iTXt" if compressed[2] else b"zTXt"
    with pytest.raises(FoveaError, match="21 compressed texts, which take long to unpack; at most 20"):
        gate.facts(png(37, 23, chunk(kind, compressed) * 21))
