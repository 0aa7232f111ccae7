"""DALI gives the pixels that training saw, and one bad image hurts nobody else."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.conftest import ROOT, Photograph

from fovea_pipelines import geometry, reference
from fovea_pipelines.dali_executor import DaliExecutor
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.preprocessed import Preprocessed, Undecodable


@pytest.fixture(scope="module")
def executor(package: ModelPackage) -> DaliExecutor:
    return DaliExecutor(package.contract, max_batch=8, threads=2)


def _bytes(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _array(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(content, np.uint8)


def _one(executor: DaliExecutor, content: bytes) -> Preprocessed:
    (result,) = executor.run([_array(content)])
    assert isinstance(result, Preprocessed), result
    return result


def _difference(content: bytes, result: Preprocessed) -> float:
    contract = ModelPackage.read(ROOT / "model_repository/efficientnet_lite0").contract
    return float(np.abs(reference.pixels(content, contract).astype(int) - result.pixels).mean())


@pytest.fixture(scope="module")
def picture(espresso: bytes) -> Image.Image:
    return Image.open(io.BytesIO(espresso)).convert("RGB")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_every_served_kind_of_jpeg_has_the_reference_pixels(
    executor: DaliExecutor, picture: Image.Image, mode: str, progressive: bool
) -> None:
    content = _bytes(picture.convert(mode), "JPEG", quality=92, progressive=progressive)
    assert _difference(content, _one(executor, content)) < 0.5


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1"])
def test_every_served_kind_of_png_has_the_reference_pixels(
    executor: DaliExecutor, picture: Image.Image, mode: str
) -> None:
    content = _bytes(picture.convert(mode), "PNG")
    assert _difference(content, _one(executor, content)) < 0.5


def test_a_16_bit_png_has_the_reference_pixels(executor: DaliExecutor, picture: Image.Image) -> None:
    grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    content = _bytes(Image.fromarray(grey), "PNG")
    assert _difference(content, _one(executor, content)) < 0.5


@pytest.mark.parametrize(("kind", "options"), [("WEBP", {}), ("WEBP", {"lossless": True}), ("BMP", {})])
def test_webp_and_bmp_have_the_reference_pixels(
    executor: DaliExecutor, picture: Image.Image, kind: str, options: dict[str, object]
) -> None:
    content = _bytes(picture, kind, **options)
    assert _difference(content, _one(executor, content)) < 0.5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_exif_orientation_is_applied(
    executor: DaliExecutor, picture: Image.Image, orientation: int, kind: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = _bytes(picture, kind, exif=exif)
    assert _difference(content, _one(executor, content)) < 0.5


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 9), (224, 224), (225, 257), (3000, 40), (40, 3000)])
def test_tiny_odd_and_extreme_sizes_have_the_reference_pixels(
    executor: DaliExecutor, picture: Image.Image, size: tuple[int, int]
) -> None:
    content = _bytes(picture.resize(size), "PNG")
    assert _difference(content, _one(executor, content)) < 0.5


def test_a_photograph_one_pixel_wide_and_very_long_costs_no_more_than_another(executor: DaliExecutor) -> None:
    # Resized whole, its short side at 256, it would be 12.8 million pixels wide: 9.8 GB.
    content = _bytes(Image.new("RGB", (50_000, 1), "red"), "PNG")
    assert _one(executor, content).pixels.shape == (224, 224, 3)


def test_photographs_have_the_reference_pixels(executor: DaliExecutor, photographs: list[Photograph]) -> None:
    differences = [_difference(photo.content, _one(executor, photo.content)) for photo in photographs[::5]]
    assert max(differences) < 0.5
    assert sum(differences) / len(differences) < 0.25


def _measured(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """By Pillow's luma, whose edges NumPy pads."""
    luma = np.asarray(Image.fromarray(pixels).convert("L")).astype(float)
    padded = np.pad(luma, 1, "reflect")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return np.array([luma.mean() / 255, luma.std() / 255, (around - 4 * luma).var()], np.float32)


def test_the_quality_measures_are_those_of_their_formulas(
    executor: DaliExecutor, picture: Image.Image, espresso: bytes
) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    flat = Image.new("RGB", (300, 300), (200, 100, 50))
    for content in (espresso, _bytes(noise, "PNG"), _bytes(flat, "PNG"), _bytes(picture.convert("L"), "JPEG")):
        result = _one(executor, content)
        np.testing.assert_allclose(result.quality, _measured(result.pixels), rtol=2e-3, atol=1e-4)


def test_a_bad_image_is_named_and_the_ones_beside_it_are_answered_as_if_alone(
    executor: DaliExecutor, espresso: bytes, picture: Image.Image
) -> None:
    good = [espresso, _bytes(picture.resize((300, 200)), "PNG"), _bytes(picture, "WEBP")]
    alone = [_one(executor, content) for content in good]
    # A progressive one is for DALI to fail on.
    bad = [espresso[:20_000], b"not an image", _bytes(picture, "JPEG", progressive=True)[:-2_000]]
    batch = [good[0], bad[0], good[1], bad[1], bad[2], good[2]]
    results = executor.run([_array(content) for content in batch])
    assert [isinstance(result, Undecodable) for result in results] == [False, True, False, True, True, False]
    for expected, place in zip(alone, (0, 2, 5), strict=True):
        result = results[place]
        assert isinstance(result, Preprocessed)
        np.testing.assert_array_equal(result.pixels, expected.pixels)
        np.testing.assert_array_equal(result.quality, expected.quality)


def test_a_batch_of_bad_images_alone_leaves_the_executor_working(executor: DaliExecutor, espresso: bytes) -> None:
    results = executor.run([_array(b"\xff\xd8\xff" + bytes(100))] * 8)
    assert all(isinstance(result, Undecodable) for result in results)
    assert executor.run([]) == []
    _one(executor, espresso)


def test_a_truncated_bmp_is_refused_and_not_read_askew(executor: DaliExecutor, picture: Image.Image) -> None:
    whole = _bytes(picture.resize((601, 400)), "BMP")
    assert _difference(whole, _one(executor, whole)) < 0.5
    results = executor.run([_array(whole[:-cut]) for cut in (1, 2, 10, 300)])
    assert all(isinstance(result, Undecodable) for result in results)


def test_a_failure_that_is_no_images_fault_is_not_blamed_on_one(
    executor: DaliExecutor, espresso: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_three_axes(*_: object) -> geometry.Cut:
        return geometry.Cut((0, 0, 0), (10, 10, 10), (5, 5))  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(geometry, "cut", of_three_axes)
        (result,) = executor.run([_array(espresso)])
    assert isinstance(result, RuntimeError)
    _one(executor, espresso)


_SHORT_OF_MEMORY = """
import io, resource, sys
from pathlib import Path
import numpy as np, psutil
from PIL import Image
from fovea_pipelines.dali_executor import DaliExecutor
from fovea_pipelines.package import contract_of

executor = DaliExecutor(contract_of(Path(sys.argv[1])), max_batch=1, threads=1)
small, large = io.BytesIO(), io.BytesIO()
Image.new("RGB", (64, 64)).save(small, "PNG")
Image.new("RGB", (8000, 6000)).save(large, "PNG")
executor.run([np.frombuffer(small.getvalue(), np.uint8)])
limit = psutil.Process().memory_info().vms + (30 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
(result,) = executor.run([np.frombuffer(large.getvalue(), np.uint8)])
print(type(result).__name__, "bad_alloc" in str(result))
"""


def test_an_image_is_not_blamed_for_what_there_was_no_memory_for(repository: Path) -> None:
    command = [sys.executable, "-c", _SHORT_OF_MEMORY, str(repository / "preprocess_224")]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert said.stdout.split() == ["RuntimeError", "True"], said.stderr
