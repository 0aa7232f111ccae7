"""Answers from their gRPC messages, as nouns."""

from __future__ import annotations

from typing import Any

from fovea_client import digits
from fovea_client.answers import (
    Analysis,
    Classification,
    Exposure,
    ImageFacts,
    Model,
    ModelIdentity,
    Prediction,
    Quality,
    Result,
    StageTimings,
    Timings,
)
from fovea_client.wire import vision_pb2


def classification(said: vision_pb2.ClassifyResponse) -> Classification:
    return Classification(
        id=said.id,
        image=_facts(said.image),
        timings_ms=_timings(said.timings_ms),
        experiment=_exposure(said),
        **_of_one_model(said),
    )


def analysis(said: vision_pb2.AnalyzeResponse) -> Analysis:
    return Analysis(
        id=said.id,
        image=_facts(said.image),
        results=tuple(_result(one) for one in said.results),
        timings_ms=_timings(said.timings_ms),
        experiment=_exposure(said),
    )


def models(said: vision_pb2.ListModelsResponse) -> tuple[Model, ...]:
    return tuple(
        Model(
            _identity(one.identity),
            *(one.description, one.licence, one.labels, one.features, one.engine),
            default=one.default,
            ready=one.ready,
        )
        for one in said.models
    )


def _result(said: vision_pb2.Result) -> Result:
    took = StageTimings(_ms(said.timings_ms.preprocess), _ms(said.timings_ms.model))
    return Result(timings_ms=took, **_of_one_model(said))


def _of_one_model(said: vision_pb2.ClassifyResponse | vision_pb2.Result) -> dict[str, Any]:
    """What a classification and a result of an analysis have in common."""
    quality = said.quality
    return {
        "model": _identity(said.model),
        "predictions": tuple(Prediction(one.label, one.index, digits.shown(one.score)) for one in said.predictions),
        "quality": Quality(*map(digits.shown, (quality.brightness, quality.contrast, quality.sharpness))),
        "embedding": tuple(said.embedding) or None,
    }


def _exposure(said: vision_pb2.ClassifyResponse | vision_pb2.AnalyzeResponse) -> Exposure | None:
    return Exposure(said.experiment.name, said.experiment.arm) if said.HasField("experiment") else None


def _identity(said: vision_pb2.ModelIdentity) -> ModelIdentity:
    return ModelIdentity(said.name, said.version, said.digest)


def _facts(said: vision_pb2.ImageFacts) -> ImageFacts:
    return ImageFacts(said.format, said.width, said.height, said.orientation, said.bytes)


def _timings(said: vision_pb2.Timings) -> Timings:
    return Timings(*map(_ms, (said.gateway, said.queue, said.preprocess, said.model, said.total)))


def _ms(milliseconds: float) -> float:
    return round(milliseconds, 3)
