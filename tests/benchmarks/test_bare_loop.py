"""What the bare loop says of photographs that it cannot measure with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from benchmarks.bare_loop import CannotRun, _pixels
from numpy.typing import NDArray

from fovea_client.load.photographs import Photograph
from fovea_pipelines.dali_executor import DaliExecutor
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.preprocessed import Result, Undecodable


class Blind:
    """Decodes nothing."""

    def run(self, images: Sequence[NDArray[np.uint8]]) -> list[Result]:
        return [Undecodable("no such\nlight") for _ in images]


def _photograph(name: str, encoded: bytes) -> Photograph:
    return Photograph(name, "image/jpeg", encoded)


def test_a_photograph_that_cannot_be_decoded_is_named_with_the_reason(package: ModelPackage) -> None:
    whole = package.golden.image.read_bytes()
    images = [_photograph("whole.jpg", whole), _photograph("half.jpg", whole[: len(whole) // 2])]
    executor = DaliExecutor(package.contract, max_batch=8, threads=1)
    with pytest.raises(CannotRun, match=r"^1 of 2 photographs cannot be decoded: half\.jpg: .+") as raised:
        _pixels(executor, images, images)
    assert "whole.jpg" not in str(raised.value)
    assert "--images" in raised.value.hint


def test_of_many_photographs_that_cannot_be_decoded_the_first_are_named() -> None:
    images = [_photograph(f"{number}.jpg", b"x") for number in range(5)]
    with pytest.raises(CannotRun) as raised:
        _pixels(Blind(), images[:1], images)
    assert str(raised.value) == (
        "5 of 5 photographs cannot be decoded: 0.jpg: no such light; 1.jpg: no such light; 2.jpg: no such light; "
        "and 2 more"
    )
