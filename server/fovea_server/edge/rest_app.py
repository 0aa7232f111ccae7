"""The REST face: read the request, ask the service, write the answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from fovea_client.version import __version__
from fovea_server import exposition
from fovea_server.access.guard import current
from fovea_server.domain import Question
from fovea_server.edge import (
    experiments_routes,
    feedback_routes,
    live_page,
    openapi,
    options,
    problems,
    rest_answers,
    slices,
    uploads,
)
from fovea_server.edge.direct_paths import DirectPaths
from fovea_server.edge.openapi import Tag
from fovea_server.edge.page_headers import PageHeaders
from fovea_server.edge.request_id import of_request
from fovea_server.errors import CrashLoop, Draining, FoveaError, NotReady
from fovea_server.feature_log.log import FeatureLog
from fovea_server.metrics import Metrics
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.gate import Gate
from fovea_server.request.readiness import Readiness
from fovea_server.request.service import Service
from fovea_server.studies.experiments import Experiments


def create(
    service: Service,
    gate: Gate,
    catalogue: Catalogue,
    readiness: Readiness,
    metrics: Metrics,
    exposed: Callable[[], Awaitable[bytes]],
    log: FeatureLog | None = None,
    experiments: Experiments | None = None,
    *,
    asks_for_keys: bool = False,
) -> DirectPaths:
    """The application; everything it needs is built elsewhere and given to it. `exposed` are all metrics as text."""
    # FastAPIOffline serves the pages of /docs itself; FastAPI's own fetch them from a CDN.
    app: FastAPI = FastAPIOffline(
        title="Fovea",
        version=__version__,
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        redirect_slashes=False,  # curl shows nothing of a redirect
        redoc_url=None,  # the same as /docs once more
    )
    app.add_middleware(PageHeaders)
    openapi.complete(app, asks_for_keys=asks_for_keys)
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
            unit=options.unit_of_header(request.headers.get(options.UNIT)),
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
        **openapi.image_path(rest_answers.ClassificationDocument, openapi.ONE_MODEL),
    )
    direct.post(
        "/v1/analyze",
        analyze,
        summary="What several models say of one image, which is decoded once",
        **openapi.image_path(rest_answers.AnalysisDocument, openapi.SEVERAL_MODELS),
    )
    feedback_routes.add(direct, log, current.get)
    if experiments:
        experiments_routes.add(direct, experiments.readouts, experiments.events)

    @app.get(
        "/v1/models",
        tags=[Tag.IMAGES],
        summary="The models that can be asked for",
        response_model=rest_answers.ModelsDocument,
        responses=openapi.failures(),
    )
    async def models() -> dict[str, Any]:
        return rest_answers.of_models(list(catalogue), catalogue.default, readiness.is_ready)

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", tags=[Tag.OPERATION], summary="Whether the gateway is alive", responses=openapi.failures())
    async def healthz() -> dict[str, str]:
        # Why is in the log alone: everybody may ask here, and the reason names the database.
        said = "their store does not answer; the last known stay in force"
        return {"status": "alive"} | ({"experiments": said} if experiments and experiments.fault else {})

    @app.head("/readyz", include_in_schema=False)
    @app.get(
        "/readyz",
        tags=[Tag.OPERATION],
        summary="Whether Triton is ready and answered its golden image rightly",
        responses=openapi.failures(NotReady, CrashLoop, Draining),
    )
    async def readyz() -> dict[str, str]:
        readiness.check_announced()
        return {"status": "ready"}

    @app.get(
        "/metrics",
        tags=[Tag.OPERATION],
        summary="Prometheus metrics",
        response_class=Response,
        responses=openapi.failures(),
    )
    async def metrics_page() -> Response:
        return Response(await exposed(), headers={"Content-Type": exposition.CONTENT_TYPE})

    live_page.add(app)

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse("docs")

    return direct
