"""One knob turned the wrong way makes the gate fail, and the diagnosis names that knob."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fovea_pipelines import reference
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.parity import redecoded, skew
from fovea_pipelines.parity.corpus import Specimen
from fovea_pipelines.parity.diagnosis import verdict
from fovea_pipelines.parity.executors import DaliCpu, Executor, Pixels

First = Callable[..., list[Specimen]]


@pytest.mark.parametrize(
    ("knob", "stage"),
    [
        ({"antialias": False}, "antialias off"),
        ({"orientation": "ignore"}, "orientation ignored"),
        ({"colour": "BGR"}, "channels swapped"),
        ({"resize": "exact", "resize_to": (224, 224), "crop": "none"}, "stretched instead of cropped"),
        ({"kernel": "bicubic"}, "bicubic kernel"),
        ({"kernel": "nearest", "antialias": False}, "nearest kernel"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_broken_knob_fails_the_gate_and_is_named(
    package: ModelPackage, of_kind: First, knob: dict[str, Any], stage: str
) -> None:
    broken = DaliCpu(dataclasses.replace(package.contract, **knob))
    report = skew.run(package, of_kind("orientation-6", "palette", "progressive"), {"broken": broken})
    assert not report.passed
    assert {row.looks_like for row in report.rows if row.exceeded} == {stage}


def _rewriting(package: ModelPackage, rewrite: Callable[[bytes], bytes | None]) -> Executor:
    """The reference behind a decoder that sees the image differently."""

    def run(images: Sequence[bytes]) -> list[Pixels | Exception]:
        return [reference.pixels(rewrite(image) or image, package.contract) for image in images]

    return run


@pytest.mark.parametrize(
    ("kind", "rewrite", "stage"),
    [
        ("alpha", lambda image: redecoded.over(image, "white"), "alpha over white"),
        ("cmyk", redecoded.inverted_ink, "CMYK inverted"),
        ("icc", redecoded.by_its_profile, "embedded profile applied"),
    ],
)
def test_a_decoder_of_another_mind_is_named(
    package: ModelPackage, specimens: list[Specimen], kind: str, rewrite: Callable[[bytes], bytes | None], stage: str
) -> None:
    some = [each for each in specimens if kind in each.kinds]
    report = skew.run(package, some, {"other": _rewriting(package, rewrite)})
    (row,) = (row for row in report.rows if row.kind == kind)
    assert (bool(row.exceeded), row.looks_like) == (True, stage)


def test_a_crop_off_by_one_is_named(package: ModelPackage, of_kind: First) -> None:
    wide = dataclasses.replace(package.contract, output_height=226, output_width=226)

    def shifted(images: Sequence[bytes]) -> list[Pixels | Exception]:
        return [reference.pixels(image, wide)[1:225, 2:226] for image in images]

    report = skew.run(package, of_kind("progressive"), {"shifted": shifted})
    assert {row.looks_like for row in report.rows if row.exceeded} == {"crop off by a pixel"}


def test_nothing_is_named_where_nothing_explains_it(package: ModelPackage, of_kind: First) -> None:
    def grey(images: Sequence[bytes]) -> list[Pixels | Exception]:
        return [np.full((224, 224, 3), 128, np.uint8) for _ in images]

    report = skew.run(package, of_kind("progressive"), {"grey": grey})
    assert not report.passed
    assert {row.looks_like for row in report.rows} == {None}


def test_chroma_that_was_repeated_is_told_from_chroma_that_was_blended() -> None:
    """A column of red beside one of blue: blended over the border by libjpeg, sharp where chroma is repeated."""
    picture = Image.new("RGB", (64, 64), (200, 40, 40))
    picture.paste((40, 40, 200), (32, 0, 64, 64))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=100, subsampling="4:2:0")
    content = redecoded.nearest_chroma(buffer.getvalue())
    assert content is not None
    blended, repeated = (np.asarray(Image.open(io.BytesIO(each))).astype(int) for each in (buffer.getvalue(), content))
    assert np.abs(blended[:, 31] - picture.getpixel((0, 0))).max() > 20
    assert np.abs(repeated - np.asarray(picture)).max() < 8


def test_the_verdict_is_what_most_cases_look_like() -> None:
    assert verdict(["a", None, "b", "b", None, None]) == "b"
    assert verdict([None]) is None
