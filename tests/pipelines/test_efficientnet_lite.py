"""The authored graph is the network it claims to be, and OpenVINO runs it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from fovea_pipelines.dali_executor import DaliExecutor
from fovea_pipelines.openvino_engine import OpenVinoEngine
from fovea_pipelines.package import BestClass, ModelPackage
from fovea_pipelines.preprocessed import Preprocessed


@pytest.fixture(scope="module")
def engine(package: ModelPackage) -> OpenVinoEngine:
    return OpenVinoEngine(package.onnx.path, "f32", streams=2)


def test_the_graph_takes_pixels_first_and_normalises_inside(package: ModelPackage) -> None:
    graph = onnx.load(package.onnx.path).graph
    (pixels,) = graph.input
    assert pixels.name == "PIXELS"
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [node.op_type for node in graph.node[:4]] == ["Cast", "Transpose", "Sub", "Div"]
    assert [node.op_type for node in graph.node if "PIXELS" in node.input] == ["Cast"]  # TensorRT does no more to bytes
    assert [output.name for output in graph.output] == ["SCORES", "EMBEDDING"]
    assert not any(node.op_type == "BatchNormalization" for node in graph.node)


def test_the_golden_image_scores_as_the_package_says(package: ModelPackage, engine: OpenVinoEngine) -> None:
    content = np.frombuffer(package.golden.image.read_bytes(), np.uint8)
    (preprocessed,) = DaliExecutor(package.contract, 1, 1).run([content])
    assert isinstance(preprocessed, Preprocessed)
    (answer,) = engine.run([preprocessed.pixels])
    expected = package.golden.expected
    assert isinstance(expected, BestClass)
    assert answer.scores is not None
    assert int(answer.scores.argmax()) == expected.index
    assert answer.scores.max() == pytest.approx(expected.score, abs=0.002)
    assert answer.scores.sum() == pytest.approx(1, abs=1e-5)
    assert answer.embedding.shape == (1280,)
    assert (answer.embedding >= 0).all()
    assert (answer.embedding <= 6).all()  # pooled from ReLU6


def test_an_image_scores_the_same_alone_and_in_company(engine: OpenVinoEngine) -> None:
    images = list(np.random.default_rng(1).integers(0, 256, (9, 224, 224, 3), dtype=np.uint8))
    together = engine.run(images)
    for image, answer in zip(images, together, strict=True):
        (alone,) = engine.run([image])
        np.testing.assert_array_equal(alone.scores, answer.scores)
        np.testing.assert_array_equal(alone.embedding, answer.embedding)


def test_an_unknown_precision_is_refused(package: ModelPackage) -> None:
    with pytest.raises(ValueError, match="precision is 'f8'; supported: int8, bf16, f32"):
        OpenVinoEngine(package.onnx.path, "f8", streams=1)
