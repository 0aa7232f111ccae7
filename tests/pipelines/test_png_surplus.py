"""A PNG that unpacks to far more than it shows is refused before a decoder unpacks all of it."""

from __future__ import annotations

import functools
import io
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image
from tests.hostile_images import packed, png

from fovea_pipelines import headers, png_surplus
from fovea_pipelines.dali_executor import DaliExecutor, Preprocessed, Undecodable
from fovea_pipelines.package import ModelPackage, contract_of

SIDE = 2000


def _check(image: bytes) -> None:
    png_surplus.check(image, headers.read(image))


@functools.cache
def _endless() -> bytes:
    """A header that claims 12 MB, and 400 MB of zeros behind it."""
    whole = zlib.compressobj(1)
    stream = b"".join(whole.compress(bytes(64 << 20)) for _ in range(6)) + whole.flush()
    return png(SIDE, SIDE, pixels=stream)


def test_a_stream_that_goes_on_behind_the_pixels_is_refused_at_once_and_for_little() -> None:
    image = _endless()
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(headers.Damaged, match="unpack to more than the 24,004,000 bytes that 2000x2000 take"):
            _check(image)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 2


def test_a_large_png_that_shows_what_it_holds_passes() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (1200, 1200, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    assert len(buffer.getvalue()) * 1032 > 4 << 30  # so that it is looked into
    _check(buffer.getvalue())


@pytest.mark.parametrize("stream", [packed(64 << 20)[:-4], b"\x78\xda" + bytes(2_000_000)], ids=["cut", "broken"])
def test_a_broken_stream_is_left_to_the_decoder(stream: bytes) -> None:
    _check(png(5000, 5000, pixels=stream))


def test_the_innocent_beside_it_are_answered(package: ModelPackage, espresso: bytes) -> None:
    executor = DaliExecutor(contract_of(package.folder.parent / package.preprocess), max_batch=8, threads=2)
    batch = [np.frombuffer(each, np.uint8) for each in (espresso, _endless(), espresso)]
    first, refused, last = executor.run(batch)
    assert isinstance(refused, Undecodable)
    assert isinstance(first, Preprocessed)
    assert isinstance(last, Preprocessed)
