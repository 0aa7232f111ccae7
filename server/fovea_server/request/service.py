"""The whole story of a request, the same for REST and gRPC."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from fovea_server.domain import Answer, Deadline, Inference, Model, Question, Span
from fovea_server.errors import BadParameter, DeadlineExceeded
from fovea_server.feature_log.note import NoLog, Note
from fovea_server.metrics import Metrics
from fovea_server.request import answers, headers
from fovea_server.request.admission import Admission
from fovea_server.request.conversion import Conversion
from fovea_server.request.gate import Gate
from fovea_server.request.readiness import Readiness
from fovea_server.request.routing import Routing


class InferenceEngine(Protocol):
    async def infer(
        self, models: Sequence[Model], image: bytes, request_id: str, deadline: Deadline
    ) -> list[Inference]: ...


class Log(Protocol):
    """What remembers requests, or forgets them."""

    def note(self, question: Question) -> Note: ...


class Copies(Protocol):
    """Who may give a copy of an image to a candidate, without anybody waiting for it."""

    def offer(self, question: Question, image: bytes, answer: Answer) -> None: ...


class Service:
    """Answers questions about images; raises a FoveaError for what it cannot answer."""

    def __init__(
        self,
        readiness: Readiness,
        gate: Gate,
        routing: Routing,
        conversion: Conversion,
        admission: Admission,
        engine: InferenceEngine,
        metrics: Metrics,
        copies: Copies,
        log: Log | None = None,
    ) -> None:
        self._readiness = readiness
        self._gate = gate
        self._routing = routing
        self._conversion = conversion
        self._admission = admission
        self._engine = engine
        self._metrics = metrics
        self._copies = copies
        self._log = log or NoLog()

    async def answer(self, question: Question) -> Answer:
        """What each of the models asked says of the image."""
        with self._log.note(question) as note:
            self._readiness.check()
            with self._routing.borrow(note) as models:
                answer = await self._ask(models, question, note)
        self._metrics.answered(answer)
        return answer

    async def _ask(self, models: Sequence[Model], question: Question, note: Note) -> Answer:
        note.models = models
        _check_top_k(question.top_k)
        self._gate.check_bytes(len(question.image))
        facts = headers.read(question.image, self._conversion.formats)
        note.facts = facts
        self._gate.check(facts)
        if question.deadline.remaining() <= 0:
            raise DeadlineExceeded("the deadline had passed before the image was read")
        # Outside the slot: what has to be converted first must not keep it from what Triton reads itself.
        async with self._conversion.served(question.image, facts, question.deadline) as image:
            begin = time.monotonic()
            async with self._admission.slot(len(question.image), question.deadline):
                inferences = await self._engine.infer(models, image, question.id, question.deadline)
        now = time.monotonic()
        note.inferences = inferences
        note.answer = answers.answer(question, models, facts, inferences, Span(begin, now), now, note.exposure)
        self._copies.offer(question, image, note.answer)
        return note.answer


def _check_top_k(top_k: int) -> None:
    """More than a model has labels is all of them: callers who ask several models need not know how many each has."""
    if top_k < 1:
        raise BadParameter(f"top_k is {top_k}; it must be 1 or more")
