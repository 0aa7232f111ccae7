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
    score: float = Field(description="Softmax probability, 0 to 1", examples=[0.8124])


class ImageDocument(BaseModel):
    format: str = Field(examples=["jpeg"])
    width: int = Field(description="Pixels as stored, before the EXIF orientation is applied", examples=[500])
    height: int = Field(examples=[375])
    orientation: int = Field(description="EXIF orientation, 1 to 8; 1 where there is none", examples=[1])
    bytes: int = Field(description="Of the file that was sent", examples=[106203])


class QualityDocument(BaseModel):
    brightness: float = Field(description="Mean of Y, 0 to 1 (docs/quality.md)", examples=[0.387])
    contrast: float = Field(description="Standard deviation of Y, 0 to 0.5", examples=[0.254])
    sharpness: float = Field(description="Variance of the Laplacian of Y; blur lowers it", examples=[582.0])


class TimingsDocument(BaseModel):
    gateway: float = Field(description="Milliseconds, as all of these: in the gateway", examples=[0.8])
    queue: float = Field(description="Waiting for a batch", examples=[1.1])
    preprocess: float = Field(description="Decoding and resizing", examples=[4.2])
    model: float = Field(description="In the network", examples=[3.1])
    total: float = Field(description="The sum of the others", examples=[9.2])


class ExposureDocument(BaseModel):
    name: str = Field(description="The experiment that decided who answers", examples=["int8-against-f32"])
    arm: str = Field(examples=["control"])


class ClassificationDocument(BaseModel):
    id: str = Field(
        description="X-Request-ID, where the request had one", examples=["0a1b2c3d4e5f60718293a4b5c6d7e8f9"]
    )
    model: ModelIdentityDocument
    predictions: list[PredictionDocument] = Field(description="Best first; none from a model that only embeds")
    image: ImageDocument
    quality: QualityDocument
    embedding: list[float] | None = Field(
        None, description="Where asked for, and from a model that only embeds", examples=[[0.12, 0.0, 1.73]]
    )
    timings_ms: TimingsDocument
    degraded: bool | None = Field(None, description="True where an overload made a cheaper model answer")
    experiment: ExposureDocument | None = Field(None, description="Where the caller met one")


class StageTimingsDocument(BaseModel):
    preprocess: float = Field(description="Milliseconds; the decode is shared", examples=[4.2])
    model: float = Field(description="Milliseconds; models of one request may run side by side", examples=[3.1])


class ResultDocument(BaseModel):
    model: ModelIdentityDocument
    predictions: list[PredictionDocument]
    quality: QualityDocument
    embedding: list[float] | None = Field(
        None, description="Where asked for, and from a model that only embeds", examples=[[0.12, 0.0, 1.73]]
    )
    timings_ms: StageTimingsDocument


class AnalysisDocument(BaseModel):
    id: str = Field(
        description="X-Request-ID, where the request had one", examples=["0a1b2c3d4e5f60718293a4b5c6d7e8f9"]
    )
    image: ImageDocument
    results: list[ResultDocument] = Field(description="One for each model asked, in the order of asking")
    timings_ms: TimingsDocument
    experiment: ExposureDocument | None = Field(None, description="Where the caller met one")


class ModelDocument(ModelIdentityDocument):
    description: str
    licence: str
    labels: int = Field(description="How many; 0 for a model that only embeds", examples=[1000])
    features: int = Field(description="How many numbers its embedding has", examples=[1280])
    engine: str = Field(
        description="What runs its network: openvino and the precision, onnxruntime-cuda or tensorrt",
        examples=["openvino int8"],
    )
    default: bool = Field(description="Whether it answers where no model is named")
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
