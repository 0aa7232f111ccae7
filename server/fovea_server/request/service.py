"""The whole story of a request, the same for REST and gRPC."""

from __future__ import annotations

import time
from typing import Protocol

from fovea_server.domain import Answer, Deadline, Inference, Model, Question, Span
from fovea_server.errors import BadParameter, DeadlineExceeded
from fovea_server.metrics import Metrics
from fovea_server.request import answers, headers
from fovea_server.request.admission import Admission
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.gate import Gate
from fovea_server.request.readiness import Readiness


class InferenceEngine(Protocol):
    async def infer(self, model: Model, image: bytes, request_id: str, deadline: Deadline) -> Inference: ...


class Service:
    """Answers questions about images; raises a FoveaError for what it cannot answer."""

    def __init__(
        self,
        readiness: Readiness,
        gate: Gate,
        catalogue: Catalogue,
        admission: Admission,
        engine: InferenceEngine,
        metrics: Metrics,
    ) -> None:
        self._readiness = readiness
        self._gate = gate
        self._catalogue = catalogue
        self._admission = admission
        self._engine = engine
        self._metrics = metrics

    async def classify(self, question: Question) -> Answer:
        """Labels for one image."""
        answer = await self._classify(question)
        self._metrics.answered(answer)
        return answer

    async def _classify(self, question: Question) -> Answer:
        self._readiness.check()
        model = self._catalogue.get(question.model)
        _check_top_k(question.top_k, model)
        self._gate.check_bytes(len(question.image))
        facts = headers.read(question.image)
        self._gate.check(facts)
        if question.deadline.remaining() <= 0:
            raise DeadlineExceeded("the deadline had passed before the image was read")
        begin = time.monotonic()
        async with self._admission.slot(len(question.image), question.deadline):
            inference = await self._engine.infer(model, question.image, question.id, question.deadline)
        now = time.monotonic()
        return answers.answer(question, model, facts, inference, Span(begin, now), now)


def _check_top_k(top_k: int, model: Model) -> None:
    if not 1 <= top_k <= len(model.labels):
        raise BadParameter(f"top_k is {top_k}; {model.identity.name} has labels for 1 to {len(model.labels)}")
