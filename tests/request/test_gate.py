"""The gate turns away what is too large, with the numbers."""

from __future__ import annotations

import pytest

from fovea_server.domain import ImageFacts
from fovea_server.errors import TooManyBytes, TooManyPixels
from fovea_server.request.gate import Gate, GateSettings

gate = Gate(GateSettings())


def _facts(width: int, height: int) -> ImageFacts:
    return ImageFacts("jpeg", width, height, 1, 1000)


def test_the_largest_allowed_image_passes() -> None:
    gate.check(_facts(10_000, 5_000))
    gate.check_bytes(20_000_000)


def test_more_pixels_than_allowed_are_refused_with_the_numbers() -> None:
    with pytest.raises(TooManyPixels, match="6000x9000 is 54,000,000 pixels; at most 50,000,000"):
        gate.check(_facts(6000, 9000))


def test_more_bytes_than_allowed_are_refused_with_the_numbers() -> None:
    with pytest.raises(TooManyBytes, match="20,000,001 bytes; at most 20,000,000"):
        gate.check_bytes(20_000_001)
