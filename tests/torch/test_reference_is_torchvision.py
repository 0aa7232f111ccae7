"""The reference executor gives the pixels that torchvision's own evaluation transforms give, bit for bit."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.conftest import Photograph
from tests.torch.with_torchvision import torchvision

from fovea_pipelines import reference
from fovea_pipelines.contract_sources import from_torchvision
from fovea_pipelines.parity import encodings
from fovea_pipelines.parity.encodings import saved

pytestmark = pytest.mark.torch

PRESETS = (
    "ResNet50_Weights.IMAGENET1K_V1",
    "ResNet50_Weights.IMAGENET1K_V2",
    "EfficientNet_B0_Weights.IMAGENET1K_V1",
    "EfficientNet_B3_Weights.IMAGENET1K_V1",
    "ConvNeXt_Tiny_Weights.IMAGENET1K_V1",
    "ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1",
    "Swin_T_Weights.IMAGENET1K_V1",
    "MobileNet_V3_Large_Weights.IMAGENET1K_V2",
)


def _transforms(preset: str) -> Any:
    weights, version = preset.split(".")
    return getattr(torchvision().models, weights)[version].transforms()


def _training_pixels(transforms: Any, image: bytes) -> NDArray[np.uint8]:
    """What torchvision makes of the image, taken back to whole pixel values, which it was before normalisation."""
    tensor = transforms(Image.open(io.BytesIO(image)).convert("RGB")).numpy()
    mean, std = (np.array(values).reshape(3, 1, 1) for values in (transforms.mean, transforms.std))
    exact = ((tensor * std + mean) * 255).transpose(1, 2, 0)
    pixels = np.rint(exact)
    assert np.abs(exact - pixels).max() < 0.01
    return pixels.astype(np.uint8)


@pytest.mark.parametrize("preset", PRESETS)
def test_photographs_have_the_training_pixels(preset: str, espresso: bytes, photographs: list[Photograph]) -> None:
    transforms = _transforms(preset)
    contract = from_torchvision(transforms).contract
    for image in (espresso, *(photo.content for photo in photographs[::40])):
        np.testing.assert_array_equal(reference.pixels(image, contract), _training_pixels(transforms, image))


@pytest.mark.parametrize("size", [(225, 257), (301, 199), (7, 9), (1, 1), (1500, 90), (90, 1500), (256, 256)])
def test_odd_sizes_have_the_training_pixels(espresso: bytes, size: tuple[int, int]) -> None:
    transforms = _transforms(PRESETS[0])
    buffer = io.BytesIO()
    Image.open(io.BytesIO(espresso)).resize(size).save(buffer, "PNG")
    contract = from_torchvision(transforms).contract
    expected = _training_pixels(transforms, buffer.getvalue())
    np.testing.assert_array_equal(reference.pixels(buffer.getvalue(), contract), expected)


# All that `Image.convert("RGB")` handles as the contract says; of 16-bit grey it does not (docs/contract.md).
KINDS: dict[str, tuple[str, Callable[[Image.Image], bytes]]] = {
    "grey": ("L", lambda picture: saved(picture.convert("L"), "PNG")),
    "grey JPEG": ("L", lambda picture: saved(picture.convert("L"), "JPEG")),
    "1-bit": ("1", lambda picture: saved(picture.convert("1"), "PNG")),
    "palette": ("P", lambda picture: saved(encodings.with_palette(picture, 64), "PNG")),
    "palette, one colour clear": ("P", encodings.with_clear_colour),
    "alpha": ("RGBA", lambda picture: encodings.with_alpha(picture, "PNG")),
    "alpha WebP": ("RGBA", lambda picture: encodings.with_alpha(picture, "WEBP", lossless=True, exact=True)),
    "alpha, grey": ("LA", lambda picture: encodings.with_alpha(picture.convert("L"), "PNG")),
    "CMYK": ("CMYK", encodings.cmyk),
    "CMYK without Adobe's segment": ("CMYK", encodings.cmyk_without_adobe),
    "YCCK": ("CMYK", encodings.ycck),
    "16-bit RGB": ("RGB", encodings.rgb_16),
    "wide profile": ("RGB", lambda picture: encodings.with_wide_profile(picture, "JPEG")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_images_that_are_not_plain_rgb_have_the_training_pixels(espresso: bytes, kind: str) -> None:
    mode, encoded = KINDS[kind]
    image = encoded(Image.open(io.BytesIO(espresso)).convert("RGB").resize((401, 299)))
    assert Image.open(io.BytesIO(image)).mode == mode
    transforms = _transforms(PRESETS[0])
    contract = from_torchvision(transforms).contract
    np.testing.assert_array_equal(reference.pixels(image, contract), _training_pixels(transforms, image))
