"""Answers as JSON, and the models that describe that JSON in the OpenAPI document."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Response
from pydantic import BaseModel, Field

from fovea_server.domain import Answer, Model, Result
from fovea_server.edge.server_timing import server_timing


def of_classification(answer: Answer) -> Response:
    """The answer of the one model asked, flat.

    Written by hand, without a validation model between: this is the hot path.
    """
    (result,) = answer.results
    body: dict[str, Any] = {
        "id": answer.id,
        "model": result.model,
        "predictions": result.predictions,
        "image": answer.image,
        "quality": result.quality,
        "timings_ms": answer.timings_ms,
    }
    if result.embedding is not None:
        body["embedding"] = result.embedding
    if answer.degraded:
        body["degraded"] = True
    return _json(body, answer)


def of_analysis(answer: Answer) -> Response:
    """The answers of all models asked, in the order of asking."""
    body = {
        "id": answer.id,
        "image": answer.image,
        "results": [_result(result) for result in answer.results],
        "timings_ms": answer.timings_ms,
    }
    return _json(body, answer)


def _result(result: Result) -> dict[str, Any]:
    return {name: value for name, value in vars(result).items() if value is not None}


def _json(body: dict[str, Any], answer: Answer) -> Response:
    if answer.exposure is not None:
        body["experiment"] = {"name": answer.exposure.experiment, "arm": answer.exposure.arm}
    return Response(
        orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY),
        headers={"X-Request-ID": answer.id, "Server-Timing": server_timing(answer.timings_ms)},
        media_type="application/json",
    )


def of_models(models: list[Model], default: Model, ready: bool) -> dict[str, Any]:
    return {
        "models": [
            {
                "name": model.identity.name,
                "version": model.identity.version,
                "digest": model.identity.digest,
                "description": model.description,
                "licence": model.licence,
                "labels": len(model.labels),
                "features": model.features,
                "engine": model.engine,
                "default": model is default,
                "ready": ready,
            }
            for model in models
        ]
    }


class ModelIdentityDocument(BaseModel):
    name: str = Field(examples=["efficientnet_lite0"])
    version: str = Field(examples=["1"])
    digest: str = Field(description="The digest of the model's package", examples=["sha256:…"])


class PredictionDocument(BaseModel):
    label: str = Field(examples=["Egyptian cat"])
    index: int = Field(description="The class's place in the model's labels", examples=[285])
    score: float = Field(description="Softmax probability, 0 to 1")


class ImageDocument(BaseModel):
    format: str = Field(examples=["jpeg"])
    width: int = Field(description="As stored, before the EXIF orientation is applied")
    height: int
    orientation: int = Field(description="EXIF orientation, 1 to 8; 1 where there is none")
    bytes: int


class QualityDocument(BaseModel):
    brightness: float
    contrast: float
    sharpness: float


class TimingsDocument(BaseModel):
    gateway: float
    queue: float
    preprocess: float
    model: float
    total: float = Field(description="Milliseconds; the sum of the others")


class ExposureDocument(BaseModel):
    name: str = Field(description="The experiment that decided who answers", examples=["int8-against-f32"])
    arm: str = Field(examples=["control"])


class ClassificationDocument(BaseModel):
    id: str
    model: ModelIdentityDocument
    predictions: list[PredictionDocument] = Field(description="Best first; none from a model that only embeds")
    image: ImageDocument
    quality: QualityDocument
    embedding: list[float] | None = Field(None, description="Where asked for, and from a model that only embeds")
    timings_ms: TimingsDocument
    degraded: bool | None = Field(None, description="True where an overload made a cheaper model answer")
    experiment: ExposureDocument | None = Field(None, description="Where the caller met one")


class StageTimingsDocument(BaseModel):
    preprocess: float
    model: float = Field(description="Milliseconds; models of one request may run side by side")


class ResultDocument(BaseModel):
    model: ModelIdentityDocument
    predictions: list[PredictionDocument]
    quality: QualityDocument
    embedding: list[float] | None = Field(None, description="Where asked for, and from a model that only embeds")
    timings_ms: StageTimingsDocument


class AnalysisDocument(BaseModel):
    id: str
    image: ImageDocument
    results: list[ResultDocument] = Field(description="One for each model asked, in the order of asking")
    timings_ms: TimingsDocument
    experiment: ExposureDocument | None = Field(None, description="Where the caller met one")


class ModelDocument(ModelIdentityDocument):
    description: str
    licence: str
    labels: int = Field(description="How many; 0 for a model that only embeds")
    features: int = Field(description="How many numbers its embedding has")
    engine: str = Field(description="What runs its network: openvino and the precision, onnxruntime-cuda or tensorrt")
    default: bool
    ready: bool


class ModelsDocument(BaseModel):
    models: list[ModelDocument]


class ProblemDocument(BaseModel):
    """Problem details, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    reason: str = Field(description="One of the reasons of docs/errors.md")
    request_id: str
