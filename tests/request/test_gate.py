"""The gate turns away what costs more than one image may, with the numbers."""

from __future__ import annotations

import dataclasses

import pytest

from fovea_pipelines.headers import Header, Load
from fovea_server.errors import (
    FoveaError,
    ProfileTooLarge,
    SideTooLong,
    TooManyBytes,
    TooManyFrames,
    TooManyPixels,
    TooMuchMetadata,
)
from fovea_server.request.gate import Gate, GateSettings

gate = Gate(GateSettings())


def _header(width: int = 640, height: int = 480, **load: int) -> Header:
    return Header("jpeg", width, height, 1, load=Load(**load))


def test_the_largest_allowed_image_passes() -> None:
    gate.check(_header(10_000, 5_000, metadata=8_000_000, profile=4_000_000, frames=1_000))
    gate.check(_header(65_535, 1))
    gate.check_bytes(20_000_000)


@pytest.mark.parametrize(
    ("header", "error", "reason"),
    [
        (_header(6000, 9000), TooManyPixels, "6000x9000 is 54,000,000 pixels; at most 50,000,000"),
        (_header(65_536, 1), SideTooLong, "65536x1 has a side of 65,536 pixels; at most 65,535"),
        (_header(frames=1_001), TooManyFrames, "it holds 1,001 pictures or more; at most 1,000"),
        (_header(metadata=8_000_001), TooMuchMetadata, "it carries 8,000,001 bytes of metadata; at most 8,000,000"),
        (_header(profile=4_000_001), ProfileTooLarge, "carries 4,000,001 bytes of colour profiles; at most 4,000,000"),
    ],
)
def test_more_than_allowed_is_refused_with_the_numbers(header: Header, error: type[FoveaError], reason: str) -> None:
    with pytest.raises(error, match=reason):
        gate.check(header)


def test_more_bytes_than_allowed_are_refused_with_the_numbers() -> None:
    with pytest.raises(TooManyBytes, match="20,000,001 bytes; at most 20,000,000"):
        gate.check_bytes(20_000_001)


def test_the_facts_are_those_of_the_header_and_the_bytes_are_counted_first(espresso: bytes) -> None:
    facts = gate.facts(espresso)
    assert (facts.format, facts.width, facts.height, facts.bytes) == ("jpeg", 600, 400, len(espresso))
    small = Gate(dataclasses.replace(GateSettings(), max_bytes=100))
    with pytest.raises(TooManyBytes):
        small.facts(espresso)
