"""OpenVINO reads the caller's own pixels: however they lie in memory, whatever was there before, alone or in pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fovea_pipelines import precision
from fovea_pipelines.compiled_networks import CompiledNetworks
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


@pytest.mark.parametrize("streams", [1, 2, 3])
@pytest.mark.parametrize("chosen", precision.native())
def test_an_image_gets_the_same_bits_alone_and_among_others(
    package: ModelPackage, images: Images, chosen: str, streams: int
) -> None:
    engine = OpenVinoEngine(precision.artefact_of(package, chosen), chosen, streams)
    alone = [engine.run([image])[0] for image in images]
    for count in range(len(images) + 1):
        together = engine.run(images[:count])
        assert len(together) == count
        for one, other in zip(alone, together, strict=False):
            assert one.scores is not None
            assert other.scores is not None
            np.testing.assert_array_equal(one.scores, other.scores)
            np.testing.assert_array_equal(one.embedding, other.embedding)


@pytest.mark.parametrize("chosen", precision.native())
def test_an_image_of_another_size_is_refused_and_costs_the_next_ones_nothing(
    package: ModelPackage, images: Images, chosen: str
) -> None:
    engine = OpenVinoEngine(precision.artefact_of(package, chosen), chosen, streams=1)
    for _ in range(3):  # more often than there are requests to lose
        for place in range(3):
            some = images[:3]
            some[place] = np.zeros((3, 3, 3), np.uint8)
            with pytest.raises(ValueError, match=r"takes pixels of shape \(224, 224, 3\), not \(3, 3, 3\)"):
                engine.run(some)
    assert len(engine.run(images)) == len(images)


@pytest.mark.parametrize("chosen", precision.native())
def test_a_network_that_was_kept_is_not_compiled_again_and_says_the_same_bits(
    package: ModelPackage, images: Images, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = precision.artefact_of(package, chosen)
    compiled = OpenVinoEngine(model, chosen, 2, CompiledNetworks(tmp_path / "fovea" / "kept")).run(images)
    with monkeypatch.context() as patch:
        patch.setattr("fovea_pipelines.openvino_engine._Graph._compiled", None)  # which nobody can call
        again = OpenVinoEngine(model, chosen, 2, CompiledNetworks(tmp_path / "fovea" / "kept")).run(images)
        with pytest.raises(TypeError):
            OpenVinoEngine(model, chosen, 1, CompiledNetworks(tmp_path / "fovea" / "kept"))  # another number of streams
    for one, other in zip(compiled, again, strict=True):
        assert one.embedding.tobytes() == other.embedding.tobytes()
        assert one.scores.tobytes() == other.scores.tobytes()


def test_what_openvino_cannot_read_is_compiled_again_and_replaced(
    package: ModelPackage, images: Images, expected: list[NDArray[np.float32]], tmp_path: Path
) -> None:
    kept = CompiledNetworks(tmp_path / "fovea" / "kept")
    OpenVinoEngine(package.onnx.path, "f32", 1, kept)
    (file,) = (tmp_path / "fovea" / "kept").iterdir()
    good = file.read_bytes()
    kept.write(file.name, b"of another world")
    (answer,) = OpenVinoEngine(package.onnx.path, "f32", 1, kept).run(images[:1])
    np.testing.assert_allclose(answer.embedding, expected[0], atol=1e-4)
    assert len(file.read_bytes()) == len(good)


def test_what_says_other_bits_than_what_was_compiled_is_not_kept(
    package: ModelPackage, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = CompiledNetworks(tmp_path / "fovea" / "kept")
    monkeypatch.setattr("fovea_pipelines.openvino_engine._Graph._says_the_same", lambda self, one, other: False)
    (answer,) = OpenVinoEngine(package.onnx.path, "f32", 1, kept).run(images[:1])
    assert answer.embedding.shape == (package.features,)
    assert not (tmp_path / "fovea").exists()
