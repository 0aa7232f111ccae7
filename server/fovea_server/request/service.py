"""The whole story of a request, the same for REST and gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Protocol

from fovea_server.domain import Answer, Deadline, Inference, Model, Question, Span
from fovea_server.errors import BadParameter, DeadlineExceeded, DeadlineUnreachable, FoveaError
from fovea_server.feature_log.note import NoLog, Note
from fovea_server.metrics import CANCELLED, Ended, Metrics
from fovea_server.request import answers
from fovea_server.request.admission import Admission, price
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.conversion import Conversion
from fovea_server.request.gate import Gate
from fovea_server.request.readiness import Readiness
from fovea_server.request.routing import Route, Routing


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
        catalogue: Catalogue,
        conversion: Conversion,
        admission: Admission,
        engine: InferenceEngine,
        metrics: Metrics,
        log: Log | None = None,
        routing: Routing | None = None,
        copies: Copies | None = None,
    ) -> None:
        self._readiness = readiness
        self._gate = gate
        self._routing = routing or Routing(catalogue)
        self._conversion = conversion
        self._admission = admission
        self._engine = engine
        self._metrics = metrics
        self._log = log or NoLog()
        self._copies = copies

    async def answer(self, question: Question) -> Answer:
        """What each of the models asked says of the image."""
        try:
            with self._log.note(question) as note:
                self._readiness.check()
                route = self._routing.route(question, overloaded=self._admission.is_overloaded)
                with self._routing.follow(route, note) as models:
                    answer = await self._ask(models, question, note, route)
        except BaseException as end:
            if isinstance(end, asyncio.CancelledError):
                self._metrics.refused(CANCELLED)
            how = _ending(end, question.deadline)
            self._metrics.ended(how, question.priority, time.monotonic() - question.received)
            raise
        self._metrics.answered(answer, question.priority)
        return answer

    async def _ask(self, models: Sequence[Model], question: Question, note: Note, route: Route) -> Answer:
        note.models = models
        _check_top_k(question.top_k)
        facts = note.facts = self._gate.facts(question.image, self._conversion.formats)
        if question.deadline.remaining() <= 0:
            raise DeadlineExceeded("the deadline had passed before the image was read")
        self._admission.charge(question.caller, price.megapixels(facts), question.priority)
        cost = price.units(facts, len(models))
        # Outside the slot: what has to be converted first must not keep it from what Triton reads itself.
        async with self._conversion.served(
            question.image, facts, question.deadline, question.priority, question.caller.name
        ) as image:
            begin = time.monotonic()
            async with self._admission.slot(
                len(question.image), question.deadline, cost, question.priority, question.caller.name
            ):
                inferences = await self._engine.infer(models, image, question.id, question.deadline)
        now = time.monotonic()
        if now > question.deadline.at:  # answer and alarm were there at once, after a moment without a processor
            late = (now - question.deadline.at) * 1000
            raise DeadlineExceeded(f"the answer was there {late:.1f} ms after the deadline")
        note.inferences = inferences
        answer = note.answer = answers.answer(question, models, facts, inferences, Span(begin, now), now, route)
        if self._copies:
            self._copies.offer(question, image, answer)
        return answer


def _ending(end: BaseException, deadline: Deadline) -> Ended:
    if isinstance(end, asyncio.CancelledError):  # as gRPC ends a call whose deadline has passed, too
        return Ended.CANCELLED if deadline.remaining() > 0 else Ended.FAILED
    if isinstance(end, DeadlineUnreachable):  # found before anything is done: there is no room for it
        return Ended.REFUSED
    is_refused = isinstance(end, FoveaError) and end.http < HTTPStatus.INTERNAL_SERVER_ERROR
    return Ended.REFUSED if is_refused else Ended.FAILED


def _check_top_k(top_k: int) -> None:
    """More than a model has labels is all of them: callers who ask several models need not know how many each has."""
    if top_k < 1:
        raise BadParameter(f"top_k is {top_k}; it must be 1 or more")
