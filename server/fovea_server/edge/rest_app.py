"""The REST face: read the request, ask the service, write the answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from fovea_client.version import __version__
from fovea_server import exposition
from fovea_server.access.guard import current
from fovea_server.domain import Question
from fovea_server.edge import (
    experiments_routes,
    feedback_routes,
    options,
    problems,
    rest_answers,
    slices,
    uploads,
)
from fovea_server.edge.direct_paths import DirectPaths
from fovea_server.edge.request_id import HEADER, of_request
from fovea_server.errors import FoveaError
from fovea_server.feature_log.log import FeatureLog
from fovea_server.metrics import Metrics
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.gate import Gate
from fovea_server.request.readiness import Readiness
from fovea_server.request.service import Service
from fovea_server.studies.experiments import Experiments

_DESCRIPTION = """Send the bytes of a picture, get labels and an embedding back.

Every failure is a problem document (RFC 9457) whose `reason` is one of those in docs/errors.md.
"""

_PROBLEM: dict[str, Any] = {
    "description": "A problem document (RFC 9457)",
    "content": {problems.MEDIA_TYPE: {"schema": rest_answers.ProblemDocument.model_json_schema()}},
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/octet-stream": _BINARY,
        "image/*": _BINARY,
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {"image": {"type": "string", "format": "binary"}},
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "additionalProperties": False,
                "properties": {"image": {"type": "string", "format": "byte", "description": "base64"}},
            }
        },
    },
}
_MODEL = {
    "name": "model",
    "in": "query",
    "description": "Which model; the default if not given",
    "schema": {"type": "string"},
}
_MODELS = {
    "name": "models",
    "in": "query",
    "required": True,
    "description": "Which models, with commas between",
    "schema": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    "style": "form",
    "explode": False,
}
_OPTIONS: tuple[dict[str, Any], ...] = (
    {
        "name": "top_k",
        "in": "query",
        "description": "How many labels, best first",
        "schema": {"type": "integer", "minimum": 1, "default": options.DEFAULT_TOP_K},
    },
    {
        "name": "embedding",
        "in": "query",
        "description": "Whether to return the embedding",
        "schema": {"type": "boolean", "default": False},
    },
    {
        "name": HEADER,
        "in": "header",
        "description": "Returned as the answer's id; replaced if it is not 1 to 128 of A-Z a-z 0-9 . _ : / + = @ -",
        "schema": {"type": "string", "maxLength": 128},
    },
    {
        "name": "X-Request-Timeout",
        "in": "header",
        "description": "Seconds the caller is willing to wait",
        "schema": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": options.MAX_TIMEOUT,
            "default": options.DEFAULT_TIMEOUT,
        },
    },
    {
        "name": options.PRIORITY,
        "in": "header",
        "description": "Under load, batch waits longer and is turned away first",
        "schema": {"type": "string", "enum": ["interactive", "batch"], "default": "interactive"},
    },
    {
        "name": slices.HEADER,
        "in": "header",
        "description": "What the caller says of the image, for the feature log: device=phone;region=eu",
        "schema": {"type": "string"},
    },
    {
        "name": options.UNIT,
        "in": "header",
        "description": "Whom experiments are to treat alike, such as a user: whoever says the same meets the same arm",
        "schema": {"type": "string"},
    },
)


def _described(document: type[BaseModel], which: dict[str, Any]) -> dict[str, Any]:
    """How OpenAPI is told of a path that takes an image; we read the request ourselves."""
    return {
        "responses": {
            200: {"model": document},
            **dict.fromkeys((400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504), _PROBLEM),
        },
        "openapi_extra": {"requestBody": _BODY, "parameters": [which, *_OPTIONS]},
    }


def create(
    service: Service,
    gate: Gate,
    catalogue: Catalogue,
    readiness: Readiness,
    metrics: Metrics,
    exposed: Callable[[], Awaitable[bytes]],
    log: FeatureLog | None = None,
    experiments: Experiments | None = None,
) -> DirectPaths:
    """The application; everything it needs is built elsewhere and given to it. `exposed` are all metrics as text."""
    # FastAPIOffline serves the pages of /docs itself; FastAPI's own fetch them from a CDN.
    app: FastAPI = FastAPIOffline(title="Fovea", version=__version__, description=_DESCRIPTION)
    answers = problems.Problems(metrics)
    app.add_exception_handler(FoveaError, answers.on_fovea_error)
    app.add_exception_handler(HTTPException, answers.on_http_exception)
    app.add_exception_handler(Exception, answers.on_any_other)
    direct = DirectPaths(app, answers)

    async def asked(request: Request, models: tuple[str, ...]) -> Question:
        received = time.monotonic()
        deadline = options.deadline(request.headers.get("X-Request-Timeout"), received)
        return Question(
            id=of_request(request),
            models=models,
            top_k=options.top_k(request.query_params.get("top_k")),
            embedding=options.flag("embedding", request.query_params.get("embedding")),
            deadline=deadline,
            received=received,
            caller=current.get(),
            priority=options.priority(request.headers.get(options.PRIORITY)),
            slices=slices.read(request.headers.get(slices.HEADER)),
            unit=request.headers.get(options.UNIT, ""),
            image=await uploads.read_image(request, gate, deadline),
        )

    async def classify(request: Request) -> Response:
        options.check_known(request.query_params.multi_items(), options.CLASSIFY)
        question = await asked(request, options.one_model(request.query_params.get("model")))
        return rest_answers.of_classification(await service.answer(question))

    async def analyze(request: Request) -> Response:
        options.check_known(request.query_params.multi_items(), options.ANALYZE)
        names = request.query_params.get("models", "").split(",")
        question = await asked(request, options.several_models(names))
        return rest_answers.of_analysis(await service.answer(question))

    direct.post(
        "/v1/classify",
        classify,
        summary="Labels for one image",
        **_described(rest_answers.ClassificationDocument, _MODEL),
    )
    direct.post(
        "/v1/analyze",
        analyze,
        summary="What several models say of one image, which is decoded once",
        **_described(rest_answers.AnalysisDocument, _MODELS),
    )
    feedback_routes.add(direct, log, _PROBLEM, current.get)
    if experiments:
        experiments_routes.add(direct, experiments.readouts, experiments.events, _PROBLEM)

    @app.get("/v1/models", summary="The models that can be asked for", response_model=rest_answers.ModelsDocument)
    async def models() -> dict[str, Any]:
        return rest_answers.of_models(list(catalogue), catalogue.default, readiness.is_ready)

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", summary="Whether the gateway is alive")
    async def healthz() -> dict[str, str]:
        fault = experiments.fault if experiments else None
        return {"status": "alive"} | ({"experiments": f"the last known stay in force: {fault}"} if fault else {})

    @app.head("/readyz", include_in_schema=False)
    @app.get(
        "/readyz",
        summary="Whether Triton is ready and answered its golden image rightly",
        responses={503: _PROBLEM},
    )
    async def readyz() -> dict[str, str]:
        readiness.check_announced()
        return {"status": "ready"}

    @app.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics_page() -> Response:
        return Response(await exposed(), headers={"Content-Type": exposition.CONTENT_TYPE})

    return direct
