"""The golden image: a model may serve only while it answers rightly the one image whose answer is known."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fovea_pipelines.package import BestClass, Direction, Golden
from fovea_pipelines.parity import measures
from fovea_server.domain import Deadline, Inference, Model
from fovea_server.errors import NotReady
from fovea_server.request.service import InferenceEngine

_TIMEOUT = 5.0  # seconds; under full load an answer takes less than one


@dataclass(frozen=True)
class Proof:
    """The golden image of a model, read, and what must be answered to it."""

    model: Model
    image: bytes
    expected: BestClass | NDArray[np.float32]
    least_cosine: float = 0.0

    @classmethod
    def of(cls, model: Model, golden: Golden) -> Proof:
        image = golden.image.read_bytes()
        if isinstance(golden.expected, Direction):
            return cls(model, image, np.load(golden.expected.file), golden.expected.least_cosine)
        return cls(model, image, golden.expected)

    async def verify(self, engine: InferenceEngine) -> None:
        """Raise NotReady, with both answers in the message, unless the golden image is answered as it should be."""
        deadline = Deadline.after(_TIMEOUT)
        (inference,) = await engine.infer([self.model], self.image, f"golden-{uuid.uuid4()}", deadline)
        if isinstance(self.expected, BestClass):
            self._check_class(inference, self.expected)
        else:
            self._check_direction(inference, self.expected)

    def _check_class(self, inference: Inference, expected: BestClass) -> None:
        assert inference.scores is not None
        winner = int(inference.scores.argmax())
        score = float(inference.scores[winner])
        if winner != expected.index or not abs(score - expected.score) <= expected.tolerance:  # NaN is wrong too
            labels = self.model.labels
            raise NotReady(
                f"{self.model.identity.name} answers its golden image with {labels[winner]} at {score:.3f}; right is "
                f"{labels[expected.index]} at {expected.score:.3f} within {expected.tolerance}"
            )

    def _check_direction(self, inference: Inference, expected: NDArray[np.float32]) -> None:
        found = inference.embedding
        cosine = 1 - measures.embedding_drift(found, expected)
        if not cosine >= self.least_cosine:
            raise NotReady(
                f"{self.model.identity.name} embeds its golden image at a cosine of {cosine:.4f} to what is right; "
                f"at least {self.least_cosine}"
            )
