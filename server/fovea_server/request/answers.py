"""From what Triton answered to what the caller gets: labels, quality, and where the time went."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fovea_server.domain import (
    Answer,
    ImageFacts,
    Inference,
    Model,
    Prediction,
    Quality,
    Question,
    Span,
    Timings,
)


def answer(
    question: Question, model: Model, facts: ImageFacts, inference: Inference, engine: Span, now: float
) -> Answer:
    """The answer to one question; `engine` is from asking for a slot to having Triton's answer, `now` the clock."""
    return Answer(
        id=question.id,
        model=model.identity,
        predictions=best(inference.scores, model.labels, question.top_k),
        image=facts,
        quality=Quality(*(float(value) for value in inference.quality)),
        embedding=inference.embedding if question.embedding else None,
        timings_ms=timings(question.received, now, engine, inference.preprocess, inference.model),
    )


def best(scores: NDArray[np.float32], labels: tuple[str, ...], top_k: int) -> tuple[Prediction, ...]:
    """The `top_k` highest of `scores`, shape (classes,), best first; equal scores in the order of the classes."""
    if top_k < len(scores):
        candidates = np.sort(np.argpartition(-scores, top_k - 1)[:top_k])
    else:
        candidates = np.arange(len(scores))
    order = candidates[np.argsort(-scores[candidates], kind="stable")]
    return tuple(Prediction(labels[index], int(index), float(scores[index])) for index in order)


def timings(received: float, now: float, engine: Span, preprocess: Span | None, model: Span | None) -> Timings:
    """Milliseconds a stage, from moments in monotonic seconds. What no stage accounts for of `engine` is queueing."""
    total = now - received
    decoding = preprocess.seconds if preprocess else 0.0
    scoring = model.seconds if model else 0.0
    return Timings(
        gateway=_ms(total - engine.seconds),
        queue=_ms(max(engine.seconds - decoding - scoring, 0.0)),
        preprocess=_ms(decoding),
        model=_ms(scoring),
        total=_ms(total),
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
