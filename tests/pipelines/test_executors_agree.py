"""DALI on the CPU and the reference (Pillow, NumPy) make the same pixels of the same contract, whatever it says."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.conftest import Photograph

from fovea_pipelines import reduced_jpeg, reference
from fovea_pipelines.contract import Contract
from fovea_pipelines.dali_executor import DaliExecutor
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.preprocessed import Preprocessed

SHORT_SIDE: dict[str, Any] = {"resize": "short_side", "resize_to": 256, "crop": "centre"}
EXACT: dict[str, Any] = {"resize": "exact", "resize_to": (224, 224), "crop": "none"}
SQUASH: dict[str, Any] = {"resize": "exact", "resize_to": (247, 261), "crop": "centre_down"}
LETTERBOX: dict[str, Any] = {"resize": "letterbox", "resize_to": None, "crop": "none"}


def _contract(**changes: Any) -> Contract:
    base: dict[str, Any] = {
        "orientation": "apply",
        "colour": "RGB",
        "kernel": "bilinear",
        "antialias": True,
        "output_height": 224,
        "output_width": 224,
        **SHORT_SIDE,
    }
    return Contract(**{**base, **changes})


def _dali(contract: Contract, content: bytes) -> NDArray[np.uint8]:
    (result,) = DaliExecutor(contract, 1, 1).run([np.frombuffer(content, np.uint8)])
    assert isinstance(result, Preprocessed), result
    return result.pixels


def _difference(contract: Contract, content: bytes) -> float:
    ours, theirs = _dali(contract, content), reference.pixels(content, contract)
    assert ours.shape == theirs.shape == (contract.output_height, contract.output_width, 3)
    return float(np.abs(ours.astype(int) - theirs).mean())


def _saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def picture(espresso: bytes) -> Image.Image:
    return Image.open(io.BytesIO(espresso)).convert("RGB")


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("resize", [SHORT_SIDE, EXACT, SQUASH, LETTERBOX], ids=lambda each: each["resize"])
def test_every_kernel_and_every_way_to_resize(
    espresso: bytes, kernel: str, antialias: bool, resize: dict[str, Any]
) -> None:
    if kernel == "nearest" and antialias:
        pytest.skip("the contract refuses it")
    assert _difference(_contract(kernel=kernel, antialias=antialias, **resize), espresso) < 0.6


@pytest.mark.parametrize("resize", [SHORT_SIDE, EXACT, LETTERBOX], ids=lambda each: each["resize"])
@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_every_orientation_in_an_output_that_is_not_square(
    picture: Image.Image, orientation: int, resize: dict[str, Any]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    fitting = {**resize, "resize_to": (200, 240)} if resize is EXACT else resize
    contract = _contract(output_height=200, output_width=240, **fitting)
    assert _difference(contract, _saved(picture, exif=exif)) < 0.6


def test_an_orientation_may_be_ignored_and_the_channels_swapped(picture: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = _saved(picture, exif=exif)
    assert _difference(_contract(orientation="ignore"), content) < 0.6
    assert _difference(_contract(colour="BGR"), content) < 0.6
    swapped = _dali(_contract(colour="BGR"), content)
    np.testing.assert_array_equal(swapped[..., ::-1], _dali(_contract(), content))


def test_enlarging_is_agreed_on_too(picture: Image.Image) -> None:
    for kernel in ("bilinear", "bicubic", "lanczos"):
        assert _difference(_contract(kernel=kernel), _saved(picture.resize((90, 60)), "PNG")) < 0.6


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1024, 1024), 2), ((1023, 1200), 1), ((2048, 4000), 4), ((3000, 4000), 4), ((256, 256), 1), ((9000, 9000), 8)],
)
def test_a_jpeg_is_reduced_no_further_than_the_resize_needs(size: tuple[int, int], expected: int) -> None:
    assert reduced_jpeg.factor(*size, (256, 256)) == expected


SMALLER: dict[str, Any] = {"resize_to": 128, "output_height": 112, "output_width": 112}


@pytest.mark.parametrize("resize", [SHORT_SIDE, SMALLER, LETTERBOX], ids=["short_side", "smaller", "letterbox"])
@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("size", "orientation"), [((2048, 1536), 1), ((2049, 1537), 3), ((2055, 1543), 6)])
def test_a_large_jpeg_decoded_at_a_fraction_is_close_to_the_whole(
    picture: Image.Image, size: tuple[int, int], orientation: int, kernel: str, resize: dict[str, Any]
) -> None:
    """Also where the fraction, a half or a quarter, leaves a part of a pixel at the end of a side."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    large = _saved(picture.resize(size, Image.Resampling.BICUBIC), quality=92, exif=exif)
    assert _difference(_contract(scaled_decode=True, kernel=kernel, **resize), large) < 0.3


def test_twelve_megapixels_at_a_fraction_and_whole(picture: Image.Image) -> None:
    large = _saved(picture.resize((4001, 2667), Image.Resampling.BICUBIC), quality=92)
    assert _difference(_contract(scaled_decode=True), large) < 0.3
    assert _difference(_contract(), large) < 0.15


def test_a_large_jpeg_that_cannot_be_reduced_is_decoded_whole(picture: Image.Image) -> None:
    large = picture.resize((2400, 1600))
    contract = _contract(scaled_decode=True)
    assert _difference(contract, _saved(large.convert("CMYK"))) < 0.6
    damaged = _saved(large)[:-5_000]
    (result,) = DaliExecutor(contract, 1, 1).run([np.frombuffer(damaged, np.uint8)])
    assert "damaged or incomplete" in str(result)


def test_reduced_and_whole_images_share_a_batch(picture: Image.Image, espresso: bytes) -> None:
    large = _saved(picture.resize((2400, 1600)), quality=92)
    executor = DaliExecutor(_contract(scaled_decode=True), 8, 2)
    batch = [espresso, large, b"no image", espresso, large, large[:-9_000]]
    results = executor.run([np.frombuffer(content, np.uint8) for content in batch])
    kinds = [isinstance(result, Preprocessed) for result in results]
    assert kinds == [True, True, False, True, True, False]
    first, second = results[1], results[4]
    assert isinstance(first, Preprocessed)
    assert isinstance(second, Preprocessed)
    np.testing.assert_array_equal(first.pixels, second.pixels)


def test_what_is_too_long_to_be_resized_whole_is_none_of_the_references_business() -> None:
    line = _saved(Image.new("RGB", (30_000, 1)), "PNG")
    with pytest.raises(reference.Unreadable, match="resized to 7680000x256 it has 1,966,080,000 pixels; at most"):
        reference.pixels(line, _contract())
    assert _dali(_contract(), line).shape == (224, 224, 3)


def test_photographs_agree_by_the_default_contract(package: ModelPackage, photographs: list[Photograph]) -> None:
    differences = [_difference(package.contract, photo.content) for photo in photographs[::10]]
    assert max(differences) < 0.5


def test_the_reference_says_what_it_cannot_read(espresso: bytes) -> None:
    for content in (b"", b"no image", espresso[:20_000]):
        with pytest.raises(reference.Unreadable):
            reference.pixels(content, _contract())
