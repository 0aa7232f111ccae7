"""The graph of the GPU, run on the CPU: what it does to pixels, and who judges which image, needs no GPU to be seen."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fovea_pipelines import dali_gpu_lane, reference
from fovea_pipelines.contract import Contract
from fovea_pipelines.dali_executor import DaliExecutor, DaliGpuExecutor, Device, OnDevice
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.preprocessed import Preprocessed, Undecodable
from fovea_pipelines.trusted_jpeg import is_trusted

HERE = Device(place=None)
SHORT_SIDE: dict[str, Any] = {"resize": "short_side", "resize_to": 256, "crop": "centre"}
EXACT: dict[str, Any] = {"resize": "exact", "resize_to": (200, 240), "crop": "none"}
LETTERBOX: dict[str, Any] = {"resize": "letterbox", "resize_to": None, "crop": "none", "fill": (1, 120, 250)}


def _contract(**changes: Any) -> Contract:
    base: dict[str, Any] = {
        "orientation": "apply",
        "colour": "RGB",
        "kernel": "bilinear",
        "antialias": True,
        "output_height": 200,
        "output_width": 240,
        **SHORT_SIDE,
    }
    return Contract(**{**base, **changes})


def _array(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(content, np.uint8)


def _saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def picture(espresso: bytes) -> Image.Image:
    return Image.open(io.BytesIO(espresso)).convert("RGB")


@pytest.mark.parametrize("resize", [SHORT_SIDE, EXACT, LETTERBOX], ids=lambda each: each["resize"])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_every_orientation_is_finished_to_the_pixels_of_the_cpu(
    picture: Image.Image, resize: dict[str, Any], colour: str
) -> None:
    contract = _contract(colour=colour, **resize)
    batch = []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        batch.append(_array(_saved(picture, exif=exif)))
    ours = DaliGpuExecutor(contract, 8, 2, HERE).run(batch)
    theirs = DaliExecutor(contract, 8, 2).run(batch)
    for one, other in zip(ours, theirs, strict=True):
        assert isinstance(one, OnDevice)
        assert isinstance(other, Preprocessed)
        np.testing.assert_array_equal(np.from_dlpack(one.pixels), other.pixels)
        np.testing.assert_allclose(one.quality, other.quality, rtol=0.001)


def test_one_bad_image_hurts_nobody_else(espresso: bytes, picture: Image.Image) -> None:
    executor = DaliGpuExecutor(_contract(), 8, 2, HERE)
    progressive = _saved(picture, progressive=True)
    table = espresso.index(b"\xff\xc4") + 5  # how many Huffman codes there are of each length: never 255 of one bit
    damaged = espresso[:table] + b"\xff" + espresso[table + 1 :]
    assert is_trusted(damaged)
    batch = [espresso, damaged, progressive, b"no image", espresso[:20_000], espresso]
    results = executor.run([_array(content) for content in batch])
    assert [isinstance(result, OnDevice) for result in results] == [True, False, True, False, False, True]
    assert all(isinstance(results[place], Undecodable) for place in (1, 3, 4))
    assert results[0].pixels.shape == (200, 240, 3)  # type: ignore[union-attr]
    np.testing.assert_array_equal(np.from_dlpack(results[0].pixels), np.from_dlpack(results[5].pixels))  # type: ignore[union-attr]
    assert len(executor.run([_array(espresso)])) == 1


def test_pipelines_are_there_before_the_first_image_and_a_bad_batch_costs_one_of_the_gpus(
    espresso: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dali_gpu_lane.GpuLane] = []
    build = dali_gpu_lane.GpuLane._build
    monkeypatch.setattr(dali_gpu_lane.GpuLane, "_build", lambda lane: (made.append(lane), build(lane))[1])
    executor = DaliGpuExecutor(_contract(), 8, 2, HERE)
    executor.warm_up()
    lanes = executor._lanes
    assert made == [lanes._trusted, lanes._judged, lanes._judge]
    table = espresso.index(b"\xff\xc4") + 5
    damaged = espresso[:table] + b"\xff" + espresso[table + 1 :]
    results = executor.run([_array(content) for content in [espresso, *[damaged] * 5, espresso]])
    assert [isinstance(result, OnDevice) for result in results] == [True, *[False] * 5, True]
    executor.run([_array(espresso)])
    assert set(made[3:-1]) == {lanes._judge}  # which is without a GPU
    assert made[-1] is lanes._trusted


def test_the_gpus_decoder_gets_whole_jpegs_of_one_or_three_components(picture: Image.Image, espresso: bytes) -> None:
    assert is_trusted(espresso)
    assert is_trusted(_saved(picture.convert("L")))
    assert is_trusted(_saved(picture, progressive=True) + bytes(60))
    assert not is_trusted(_saved(picture.convert("CMYK")))
    assert not is_trusted(espresso[:-2])
    assert not is_trusted(espresso[:2])


def test_a_batch_is_run_in_parts_that_fit_into_memory(
    espresso: bytes, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = DaliGpuExecutor(_contract(), 8, 2, HERE)
    batch = [_array(espresso), _array(_saved(picture.resize((300, 200), Image.Resampling.BICUBIC)))] * 3
    together = executor.run(batch)
    monkeypatch.setattr(dali_gpu_lane, "_MOST_PIXELS", 100)
    apart = executor.run(batch)
    for one, other in zip(together, apart, strict=True):
        assert isinstance(one, OnDevice)
        assert isinstance(other, OnDevice)
        np.testing.assert_array_equal(np.from_dlpack(one.pixels), np.from_dlpack(other.pixels))


def test_photographs_have_the_reference_pixels(package: ModelPackage, espresso: bytes) -> None:
    (result,) = DaliGpuExecutor(package.contract, 1, 1, HERE).run([_array(espresso)])
    assert isinstance(result, OnDevice)
    difference = np.from_dlpack(result.pixels).astype(int) - reference.pixels(espresso, package.contract)
    assert np.abs(difference).mean() < 0.5
