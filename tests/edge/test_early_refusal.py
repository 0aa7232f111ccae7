"""In an overload requests are refused before they are read, over a connection that stays usable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp
from tests.conftest import free_ports

from fovea_server.domain import Deadline
from fovea_server.edge.early_refusal import EarlyRefusal
from fovea_server.edge.listen import EdgeSettings, RestFace
from fovea_server.errors import Busy
from fovea_server.metrics import Metrics
from fovea_server.request.admission import Admission, AdmissionSettings

_PLACES = 4
_BODY = bytes(3_000_000)
_READ: ASGIApp = PlainTextResponse("read")  # what answers behind the refusal


async def _overloaded() -> tuple[Admission, list[asyncio.Task[None]]]:
    """An admission with its places taken, a short queue, and somebody turned away a moment ago."""
    admission = Admission(AdmissionSettings(max_in_flight=_PLACES, batch=None, patience=1))

    async def hold() -> None:
        async with admission.slot(1, Deadline.after(60)):
            await asyncio.sleep(60)

    holders = [asyncio.create_task(hold()) for _ in range(3 * _PLACES)]
    await asyncio.sleep(0.01)
    assert admission.is_overloaded
    assert admission.waiting > 0
    return admission, holders


@pytest.fixture
async def overloaded() -> AsyncIterator[tuple[httpx.AsyncClient, Metrics, list[asyncio.Task[None]]]]:
    admission, holders = await _overloaded()
    metrics, edge = Metrics(), EdgeSettings("127.0.0.1", *free_ports(2))
    face = RestFace(EarlyRefusal(_READ, admission, metrics), edge)
    await face.open()
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{edge.rest_port}", limits=limits, timeout=30) as client:
        yield client, metrics, holders
    for holder in holders:
        holder.cancel()
    ended = await asyncio.gather(*holders, return_exceptions=True)
    assert {type(error) for error in ended} <= {asyncio.CancelledError, Busy}
    await face.close(0)


async def test_an_interactive_request_is_refused_unread_and_the_connection_goes_on(
    overloaded: tuple[httpx.AsyncClient, Metrics, list[asyncio.Task[None]]],
) -> None:
    client, metrics, _ = overloaded
    for _ in range(5):
        answer = await client.post("/v1/classify", content=_BODY, headers={"X-Request-ID": "mine"})
        assert (answer.status_code, answer.json()["reason"]) == (429, "BUSY")
        assert answer.headers["X-Request-ID"] == "mine"
        assert int(answer.headers["Retry-After"]) >= 1
    assert metrics.registry.get_sample_value("fovea_requests_total", {"outcome": "BUSY"}) == 5


@pytest.mark.parametrize(
    ("method", "path", "priority"),
    [
        ("POST", "/v1/classify", "batch"),
        ("POST", "/v1/classify", "no such priority"),
        ("GET", "/v1/classify", "interactive"),
        ("GET", "/readyz", "interactive"),
    ],
)
async def test_everything_else_goes_on_to_the_application(
    overloaded: tuple[httpx.AsyncClient, Metrics, list[asyncio.Task[None]]], method: str, path: str, priority: str
) -> None:
    client, _, _ = overloaded
    assert (await client.request(method, path, headers={"X-Priority": priority})).text == "read"


async def test_when_the_queue_is_worked_off_requests_are_read_again(
    overloaded: tuple[httpx.AsyncClient, Metrics, list[asyncio.Task[None]]],
) -> None:
    client, _, holders = overloaded
    for holder in holders:
        holder.cancel()
    assert (await client.post("/v1/classify", content=b"x")).text == "read"
