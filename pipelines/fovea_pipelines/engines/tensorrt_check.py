"""How far a TensorRT plan's answers are from those of the graph it was made of, and whether that is too far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fovea_pipelines import cpu
from fovea_pipelines.errors import BadNetwork
from fovea_pipelines.openvino_engine import OpenVinoEngine
from fovea_pipelines.outputs import Outputs
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.parity import measures

# At most, by precision. 8 bits are only asked for by name, and lose what quantisation loses.
_LOGITS = {"f32": 0.1, "f16": 0.5, "int8": 5.0}
_EMBEDDING = {"f32": 0.001, "f16": 0.005, "int8": 0.05}
_TOP_1 = {"f32": 0.999, "f16": 0.99, "int8": 0.95}  # at least, of the images
_LEAST_SCORE = 1e-5  # 16-bit floats below are 6e-8 apart, and 0 soon: their logarithms say nothing of a plan
_FEWEST = 32  # images, of which the loss of a point of top-1 could be seen at all


@dataclass(frozen=True)
class Drift:
    """Over `images`: the share of the same best class, the worst drift of logits, with scores below 0.00001 taken for
    that, and the worst of embeddings as 1 - cosine. A network without classes has 1 and 0 for the first two."""

    images: int
    top_1: float
    logits: float
    embedding: float


def drift(package: ModelPackage, plan: Path, corpus: Sequence[NDArray[np.uint8]], max_batch: int) -> Drift:
    """Of the plan against the graph in 32-bit floats."""
    from fovea_pipelines.engines.tensorrt_engine import TensorRtEngine

    if len(corpus) < _FEWEST:
        raise BadNetwork(
            f"{len(corpus)} images are too few to check a plan with; at least {_FEWEST}", "name a folder with --images"
        )
    engine = TensorRtEngine(plan, max_batch)
    answers = [
        answer
        for begin in range(0, len(corpus), max_batch)
        for answer in engine.run(list(corpus[begin : begin + max_batch]))
    ]
    graph = OpenVinoEngine(package.onnx.path, "f32", streams=cpu.available())
    return compare(answers, graph.run(corpus))


def compare(answers: Sequence[Outputs], expected: Sequence[Outputs]) -> Drift:
    pairs = list(zip(answers, expected, strict=True))
    scored = [(a.scores, b.scores) for a, b in pairs if a.scores is not None and b.scores is not None]
    return Drift(
        images=len(pairs),
        top_1=float(np.mean([measures.top_1_agrees(a, b) for a, b in scored])) if scored else 1.0,
        logits=max((measures.logit_drift(_floored(a), _floored(b)) for a, b in scored), default=0.0),
        embedding=max(_apart(a.embedding, b.embedding) for a, b in pairs),
    )


def _floored(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.maximum(scores, _LEAST_SCORE)


def _apart(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return measures.embedding_drift(found, expected) if np.isfinite(found).all() else float("inf")


def refuse_beyond_limits(package: ModelPackage, precision: str, found: Drift) -> None:
    """Raise BadNetwork with every measure that is beyond its limit."""
    wrong = [
        f"{name} {value:.4g}, at {bound} {limit:g}"
        for name, value, bound, limit, is_wrong in (
            ("same best class", found.top_1, "least", _TOP_1[precision], found.top_1 < _TOP_1[precision]),
            ("logit drift", found.logits, "most", _LOGITS[precision], not found.logits <= _LOGITS[precision]),
            (
                "embedding drift",
                found.embedding,
                "most",
                _EMBEDDING[precision],
                not found.embedding <= _EMBEDDING[precision],
            ),
        )
        if is_wrong
    ]
    if wrong:
        raise BadNetwork(
            f"the {precision} plan of {package.name} does not answer as its graph does on {found.images} images: "
            + "; ".join(wrong),
            "build it with --precision f32; ONNX Runtime serves the model meanwhile",
        )
