"""The experiments over REST: what there is, what each says by now, and events that callers report."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from fovea_server.studies import documents, page
from fovea_server.studies.events import Events
from fovea_server.studies.readouts import Readouts


class EventDocument(BaseModel):
    """Something that became of an answer later: a correction, a purchase, a complaint."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$", examples=["accepted"])
    unit: str = Field(
        min_length=1, max_length=255, description="What the experiment assigns by: X-Unit, the key's name, or the id"
    )
    value: float = Field(1.0, allow_inf_nan=False)


def add(app: FastAPI, readouts: Readouts, events: Events, problem: dict[str, Any]) -> None:
    """Plain functions: they read a database, and FastAPI gives them threads of their own.

    `problem` describes a problem document to OpenAPI.
    """
    problems: dict[int | str, dict[str, Any]] = dict.fromkeys((404, 422, 503), problem)

    @app.get("/v1/experiments", summary="The experiments there are", responses=problems)
    def experiments() -> dict[str, Any]:
        return {"experiments": [documents.of_kept(kept) for kept in readouts.all()]}

    @app.get("/v1/experiments/{name}", summary="What an experiment says by now, with a verdict", responses=problems)
    def experiment(name: str) -> dict[str, Any]:
        return documents.of_readout(readouts.of(name))

    @app.get(
        "/v1/experiments/{name}/report", summary="The same as a page, with the interval over time", responses=problems
    )
    def report(name: str) -> HTMLResponse:
        return HTMLResponse(page.render(readouts.of(name), readouts))

    @app.post(
        "/v1/events",
        summary="Report what became of a unit, for experiments on event:NAME",
        responses=problems,
        status_code=202,
    )
    async def event(said: EventDocument) -> Response:
        events.report(said.name, said.unit, said.value)
        return Response(status_code=202)
