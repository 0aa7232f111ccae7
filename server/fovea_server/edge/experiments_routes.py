"""The experiments over REST: what there is, what each says by now, and events that callers report."""

from __future__ import annotations

import time
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fovea_server.edge import openapi, options, uploads
from fovea_server.edge.direct_paths import DirectPaths
from fovea_server.edge.openapi import Tag
from fovea_server.errors import (
    BadParameter,
    Busy,
    DeadlineExceeded,
    ExperimentsUnavailable,
    TooManyBytes,
    UnknownExperiment,
)
from fovea_server.studies import documents, html_parts, page
from fovea_server.studies.events import LARGEST, Events
from fovea_server.studies.few_at_once import FewAtOnce
from fovea_server.studies.readouts import Readouts

_MOST_BYTES = 4096  # of an event


class EventDocument(BaseModel):
    """Something that became of an answer later: a correction, a purchase, a complaint."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$", examples=["accepted"])
    unit: str = Field(
        min_length=1,
        max_length=options.LONGEST_UNIT,
        description="What the experiment assigns by: X-Unit, the key's name, or the id",
    )
    value: float = Field(1.0, allow_inf_nan=False, json_schema_extra={"minimum": -LARGEST, "maximum": LARGEST})


class CountedDocument(BaseModel):
    """What became of the event."""

    counted: bool = Field(description="Whether an experiment runs that counts it; else it only says that such come")


def add(paths: DirectPaths, readouts: Readouts, events: Events) -> None:
    """What reads no more than a database is a plain function, to which FastAPI gives a thread."""
    app, few = paths.app, FewAtOnce()
    of_one = openapi.failures(UnknownExperiment, ExperimentsUnavailable, Busy)

    @app.get(
        "/v1/experiments",
        tags=[Tag.EXPERIMENTS],
        summary="The experiments there are",
        responses=openapi.failures(ExperimentsUnavailable),
    )
    def experiments() -> dict[str, Any]:
        return {"experiments": [documents.of_kept(kept) for kept in readouts.all()]}

    @app.get(
        "/v1/experiments/{name}",
        tags=[Tag.EXPERIMENTS],
        summary="What an experiment says by now, with a verdict",
        responses=of_one,
    )
    async def experiment(name: str) -> dict[str, Any]:
        return await few.read(lambda: documents.of_readout(readouts.of(name)))

    @app.get(
        "/v1/experiments/{name}/report",
        tags=[Tag.EXPERIMENTS],
        summary="The same as a page, with the interval over time",
        response_class=HTMLResponse,
        responses=of_one,
    )
    async def report(name: str) -> HTMLResponse:
        shown = await few.read(lambda: page.render(readouts.of(name), readouts))
        return HTMLResponse(shown, headers={"Content-Security-Policy": html_parts.POLICY})

    async def event(request: Request) -> Response:
        options.check_known(request.query_params.multi_items(), frozenset())
        deadline = options.deadline(request.headers.get("X-Request-Timeout"), time.monotonic())
        said = _event(await uploads.read_body(request, _MOST_BYTES, deadline))
        counted = CountedDocument(counted=events.report(said.name, said.unit, said.value))
        return Response(counted.model_dump_json(), status_code=202, media_type="application/json")

    paths.post(
        "/v1/events",
        event,
        tags=[Tag.EXPERIMENTS],
        summary="Report what became of a unit, for experiments on event:NAME",
        status_code=202,
        responses={
            202: {"model": CountedDocument},
            **openapi.failures(BadParameter, TooManyBytes, DeadlineExceeded),
        },
        openapi_extra={"requestBody": {"content": {"application/json": {"schema": EventDocument.model_json_schema()}}}},
    )


def _event(body: bytes) -> EventDocument:
    """Raises BadParameter with the first field that is wrong."""
    try:
        return EventDocument.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the body"
        raise BadParameter(f"{field}: {first['msg']}") from error
