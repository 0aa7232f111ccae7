"""From what Triton answered to what the caller gets: labels, quality, and where the time went."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fovea_client import digits
from fovea_server.domain import (
    Answer,
    ImageFacts,
    Inference,
    Model,
    Prediction,
    Quality,
    Question,
    Result,
    Span,
    StageTimings,
    Timings,
)
from fovea_server.request.routing import Route


def answer(
    question: Question,
    models: Sequence[Model],
    facts: ImageFacts,
    inferences: Sequence[Inference],
    engine: Span,
    now: float,
    route: Route,
) -> Answer:
    """The answer to one question; `engine` is from asking for a slot to having Triton's answer, `now` the clock."""
    return Answer(
        id=question.id,
        image=facts,
        results=tuple(_result(question, model, inference) for model, inference in zip(models, inferences, strict=True)),
        timings_ms=timings(
            question.received,
            now,
            engine,
            [inference.preprocess for inference in inferences if inference.preprocess],
            [inference.model for inference in inferences if inference.model],
        ),
        degraded=route.degraded,
        exposure=route.exposure,
    )


def _result(question: Question, model: Model, inference: Inference) -> Result:
    """A model without labels is asked for its embedding, whether the question says so or not."""
    scores = inference.scores
    return Result(
        model=model.identity,
        predictions=() if scores is None else best(scores, model.labels, question.top_k),
        quality=Quality(*map(digits.shown, inference.quality)),
        embedding=inference.embedding if question.embedding or scores is None else None,
        timings_ms=StageTimings(_ms(_seconds(inference.preprocess)), _ms(_seconds(inference.model))),
    )


def best(scores: NDArray[np.float32], labels: tuple[str, ...], top_k: int) -> tuple[Prediction, ...]:
    """The `top_k` highest of `scores`, shape (classes,), best first; equal scores in the order of the classes."""
    if top_k < len(scores):
        candidates = np.sort(np.argpartition(-scores, top_k - 1)[:top_k])
    else:
        candidates = np.arange(len(scores))
    order = candidates[np.argsort(-scores[candidates], kind="stable")]
    return tuple(Prediction(labels[index], int(index), digits.shown(scores[index])) for index in order)


def timings(received: float, now: float, engine: Span, preprocess: Sequence[Span], model: Sequence[Span]) -> Timings:
    """Milliseconds a stage, from moments in monotonic seconds.

    Stages that run side by side are counted once: `model` is when some network ran, `preprocess` when some image was
    made into pixels and no network ran. What no stage accounts for of `engine` is queueing.
    """
    total = now - received
    scoring = _covered(model)
    decoding = _covered([*preprocess, *model]) - scoring
    return Timings(
        gateway=_ms(total - engine.seconds),
        queue=_ms(max(engine.seconds - decoding - scoring, 0.0)),
        preprocess=_ms(decoding),
        model=_ms(scoring),
        total=_ms(total),
    )


def _covered(spans: Sequence[Span]) -> float:
    """How many seconds lie in at least one of the spans."""
    covered, until = 0.0, -math.inf
    for span in sorted(spans, key=lambda span: span.begin):
        covered += max(span.end - max(span.begin, until), 0.0)
        until = max(until, span.end)
    return covered


def _seconds(span: Span | None) -> float:
    return span.seconds if span else 0.0


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
