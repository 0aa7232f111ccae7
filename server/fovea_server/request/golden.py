"""The golden image: a model may serve only while it answers rightly the one image whose answer is known."""

from __future__ import annotations

import uuid

from fovea_pipelines.package import Golden
from fovea_server.domain import Deadline, Model
from fovea_server.errors import NotReady
from fovea_server.request.service import InferenceEngine

_TIMEOUT = 5.0  # seconds; under full load an answer takes less than one


async def verify(engine: InferenceEngine, model: Model, golden: Golden, image: bytes) -> None:
    """Raise NotReady, with both answers in the message, unless `image`, the golden one, is answered as it should be."""
    inference = await engine.infer(model, image, f"golden-{uuid.uuid4()}", Deadline.after(_TIMEOUT))
    winner = int(inference.scores.argmax())
    score = float(inference.scores[winner])
    if winner != golden.index or abs(score - golden.score) > golden.tolerance:
        raise NotReady(
            f"{model.identity.name} answers its golden image with {model.labels[winner]} at {score:.3f}; right is "
            f"{model.labels[golden.index]} at {golden.score:.3f} within {golden.tolerance}"
        )
