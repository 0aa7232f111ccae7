"""OpenVINO reads the caller's own pixels: however they lie in memory, and whatever was there before."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fovea_pipelines.openvino_engine import OpenVinoEngine
from fovea_pipelines.package import ModelPackage

Images = list[NDArray[np.uint8]]


def _read_only(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    copy = pixels.copy()
    copy.flags.writeable = False
    return copy


_LAYOUTS = {
    "in one piece": lambda pixels: pixels.copy(),
    "cut out of a larger image": lambda pixels: np.pad(pixels, ((3, 5), (7, 1), (0, 0)))[3:-5, 7:-1],
    "turned": lambda pixels: np.ascontiguousarray(pixels[::-1])[::-1],
    "column by column": np.asfortranarray,
    "read-only": _read_only,
}


@pytest.fixture(scope="module")
def engine(package: ModelPackage) -> OpenVinoEngine:
    return OpenVinoEngine(package.onnx.path, "f32", streams=2)


@pytest.fixture(scope="module")
def images() -> Images:
    generator = np.random.default_rng(7)
    return [generator.integers(0, 256, (224, 224, 3), dtype=np.uint8) for _ in range(7)]


@pytest.fixture(scope="module")
def expected(package: ModelPackage, images: Images) -> list[NDArray[np.float32]]:
    """By an engine of its own for each image."""
    return [OpenVinoEngine(package.onnx.path, "f32", streams=1).run([image])[0].embedding for image in images]


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_pixels_are_read_however_they_lie(
    engine: OpenVinoEngine, images: Images, expected: list[NDArray[np.float32]], layout: str
) -> None:
    for count in (1, 7, 2, 7):  # what a request read last time is gone meanwhile
        said = engine.run([_LAYOUTS[layout](image) for image in images[:count]])
        for answer, wanted in zip(said, expected, strict=False):
            np.testing.assert_allclose(answer.embedding, wanted, atol=1e-4)
