"""What is known of one request, noted as its story goes on; at its end it is offered to the log, however it ended."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from fovea_server.domain import Answer, Exposure, ImageFacts, Inference, Model, Question
from fovea_server.errors import FoveaError
from fovea_server.metrics import CANCELLED

OK = "OK"


class Note:
    """A context around the work on one question. Little is computed here: this is on the request's path.

    What the story found out is set by whoever tells it: `models`, `facts`, `inferences`, `answer`, and `exposure` where
    an experiment assigned the request.
    """

    __slots__ = (
        "_offer",
        "_received",
        "answer",
        "caller",
        "digest",
        "ended",
        "exposure",
        "facts",
        "id",
        "image",
        "image_bytes",
        "inferences",
        "models",
        "outcome",
        "seconds",
        "slices",
    )

    def __init__(self, question: Question, offer: Callable[[Note], None]) -> None:
        self._offer = offer
        self._received = question.received
        self.id = question.id
        self.caller = question.caller.name
        self.slices = question.slices
        self.image = question.image
        self.image_bytes = len(question.image)
        self.digest = ""  # its SHA-256 once it is known
        self.models: Sequence[Model] = ()
        self.facts: ImageFacts | None = None
        self.inferences: Sequence[Inference] = ()
        self.answer: Answer | None = None
        self.exposure: Exposure | None = None
        self.outcome = OK
        self.ended = 0.0  # seconds since 1970
        self.seconds = 0.0  # from receiving the request to its end

    def hash(self) -> None:
        """Name the image by its digest. On any thread."""
        self.digest = hashlib.sha256(self.image).hexdigest()

    def __enter__(self) -> Note:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.outcome = _outcome(error)
        self.ended = time.time()
        self.seconds = time.monotonic() - self._received
        self._offer(self)


def _outcome(error: BaseException) -> str:
    if isinstance(error, FoveaError):
        return error.reason
    return CANCELLED if isinstance(error, asyncio.CancelledError) else FoveaError.reason


class NoLog:
    """Where nothing is kept."""

    def note(self, question: Question) -> Note:
        return Note(question, _forget)


def _forget(note: Note) -> None:
    pass
