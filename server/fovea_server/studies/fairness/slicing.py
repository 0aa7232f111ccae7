"""The groups that a window's images are cut into: what callers said of them, and what can be seen of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fovea_server.studies.traffic.samples import Sample

Mask = NDArray[np.bool_]

# The fifth of the images that a model may find hardest, by what is measured of each.
_HARDEST = {
    "the darkest fifth": ("brightness", 0.2),
    "the brightest fifth": ("brightness", 0.8),
    "the flattest fifth": ("contrast", 0.2),
    "the most blurred fifth": ("sharpness", 0.2),
    "the most compressed fifth": ("bits", 0.2),
}
_VALUES = {"format": "image_format", "orientation": "image_orientation"}


def slices(sample: Sample) -> Iterator[tuple[str, Mask]]:
    """Each with its name and which rows are in it; only those that some rows are in and some are not."""
    for name, mask in _all(sample):
        if mask.any() and not mask.all():
            yield name, mask


def _all(sample: Sample) -> Iterator[tuple[str, Mask]]:
    said = [each or {} for each in sample.values("slices")]
    for name, value in sorted({pair for each in said for pair in each.items()}):
        yield f"{name}={value}", np.array([each.get(name) == value for each in said], bool)
    for name, column in _VALUES.items():
        values = sample.values(column)
        for value in sorted({each for each in values if each is not None}):
            yield f"{name} {value}", np.array([each == value for each in values], bool)
    for name, (measure, share) in _HARDEST.items():
        yield name, _beyond(_measured(sample, measure), share)


def _measured(sample: Sample, measure: str) -> NDArray[np.float64]:
    if measure == "bits":
        return np.asarray(sample.numbers("image_bytes") / sample.pixels())
    return sample.numbers(measure)


def _beyond(values: NDArray[np.float64], share: float) -> Mask:
    """Those below the quantile `share`, or above it where it is the upper half; none of what is not known."""
    known = values[np.isfinite(values)]
    if not known.size:
        return np.zeros(len(values), bool)
    limit = np.quantile(known, share)
    return np.asarray(values < limit if share < 0.5 else values > limit)
