"""What of an image, and of its answer, is compared between two windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovea_server.studies.traffic.samples import Sample

Array = NDArray[np.float64]
_TURNED = 5  # from this EXIF orientation on, width and height change places
_NONE = "not said"


def _aspect(sample: Sample) -> Array:
    """As people see the image, to a tenth: a smaller copy of an image has not quite the same."""
    height = sample.numbers("image_height")
    width = sample.pixels() / np.where(height > 0, height, np.nan)
    turned = sample.numbers("image_orientation") >= _TURNED
    return np.asarray(np.round(np.where(turned, height, width) / np.where(turned, width, height), 1))


def _bits_a_pixel(sample: Sample) -> Array:
    return sample.numbers("image_bytes") * 8 / sample.pixels()


# Measured; each with how it is written.
NUMBERS: Mapping[str, tuple[Callable[[Sample], Array], str]] = {
    "brightness": (lambda sample: sample.numbers("brightness"), ".3f"),
    "contrast": (lambda sample: sample.numbers("contrast"), ".3f"),
    "sharpness": (lambda sample: sample.numbers("sharpness"), ",.0f"),
    "megapixels": (lambda sample: sample.pixels() / 1e6, ".3g"),
    "aspect ratio": (_aspect, ".1f"),
    "bits a pixel": (_bits_a_pixel, ".2f"),
    "best score": (lambda sample: sample.numbers("score"), ".3f"),
    "entropy": (lambda sample: sample.numbers("entropy"), ".2f"),
}

# Of which each image has one.
VALUES: Mapping[str, str] = {"format": "image_format", "orientation": "image_orientation", "label": "given"}


def numbers(sample: Sample, feature: str) -> Array:
    """Those that are known."""
    found = NUMBERS[feature][0](sample)
    return np.asarray(found[np.isfinite(found)])


def values(sample: Sample, feature: str) -> list[Any]:
    """Those that are known."""
    return [value for value in sample.values(VALUES[feature]) if value is not None]


def slice_names(samples: Iterable[Sample]) -> list[str]:
    return sorted({name for sample in samples for said in sample.values("slices") for name in said or {}})


def slice_values(sample: Sample, name: str) -> list[str]:
    """Of every image; a caller who says nothing says that, too."""
    return [(said or {}).get(name, _NONE) for said in sample.values("slices")]
