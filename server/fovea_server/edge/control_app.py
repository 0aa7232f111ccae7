"""The control face: models come into service and go, at the word of whoever may open the socket."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fovea_server.edge import problems
from fovea_server.errors import FoveaError, ModelRefused
from fovea_server.metrics import Metrics
from fovea_server.request.roster import Roster


def create(roster: Roster, metrics: Metrics, needs: Callable[[str], str | None]) -> Starlette:
    """GET /models says what is loaded. PUT and DELETE /models/NAME, PUT /models/NAME/current answer once it is done, or
    with a problem document; `needs` says why a model cannot go."""

    async def loaded(request: Request) -> Response:
        return JSONResponse({"models": roster.catalogue.names()})

    async def add(request: Request) -> Response:
        model = await roster.add(request.path_params["name"])
        return JSONResponse({"name": model.identity.name, "digest": model.identity.digest})

    async def take_over(request: Request) -> Response:
        model = await roster.take_over(request.path_params["name"])
        return JSONResponse({"name": model.identity.name, "digest": model.identity.digest})

    async def remove(request: Request) -> Response:
        name = request.path_params["name"]
        if reason := needs(name):
            raise ModelRefused(f"{name} stays: {reason}")
        await roster.remove(name)
        return Response(status_code=204)

    answers = problems.Problems(metrics)
    return Starlette(
        routes=[
            Route("/models", loaded, methods=["GET"]),
            Route("/models/{name}", add, methods=["PUT"]),
            Route("/models/{name}/current", take_over, methods=["PUT"]),
            Route("/models/{name}", remove, methods=["DELETE"]),
        ],
        exception_handlers={FoveaError: answers.on_fovea_error, Exception: answers.on_any_other},
    )
