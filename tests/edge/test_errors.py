"""Every error of the table is told on both faces, with the same reason, and a time to wait only where that helps."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.rpc import error_details_pb2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

import fovea_server
from fovea_server import errors
from fovea_server.edge import grpc_status
from fovea_server.edge.problems import MEDIA_TYPE, Problems
from fovea_server.errors import FoveaError
from fovea_server.metrics import Metrics
from fovea_server.triton.client import WorkerDied

EVERY = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, FoveaError)]
MESSAGE = "54,000,000 pixels; at most 50,000,000"


async def _over_rest(error: FoveaError) -> httpx.Response:
    async def fail(request: Request) -> Any:
        raise error

    problems = Problems(Metrics())
    app = Starlette(routes=[Route("/v1/classify", fail)], exception_handlers={FoveaError: problems.on_fovea_error})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://fovea") as client:
        return await client.get("/v1/classify", headers={"X-Request-ID": "my-id"})


def _over_grpc(error: FoveaError) -> tuple[int, dict[str, Any]]:
    """The code, and the details by the names of their types."""
    status = grpc_status.of_error(error, "my-id")
    found = {}
    for packed in status.details:
        detail = getattr(error_details_pb2, packed.TypeName().rpartition(".")[2])()
        assert packed.Unpack(detail)
        found[type(detail).__name__] = detail
    assert status.message == str(error)
    return status.code, found


@pytest.mark.parametrize("wait", [None, 1.5])
@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.reason)
async def test_an_error_is_the_same_on_both_faces(kind: type[FoveaError], wait: float | None) -> None:
    error = kind(MESSAGE, retry_after=wait)
    answer, (code, details) = await _over_rest(error), _over_grpc(error)
    problem = answer.json()
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    assert answer.status_code == problem["status"] == kind.http
    assert (problem["title"], problem["detail"], problem["request_id"]) == (kind.title, MESSAGE, "my-id")
    assert problem["type"].startswith("urn:fovea:problem:")
    assert code == kind.rpc.value[0]
    assert details["ErrorInfo"].domain == "fovea"
    assert details["ErrorInfo"].reason == problem["reason"] == kind.reason
    assert details["RequestInfo"].request_id == "my-id"
    assert answer.headers.get("Retry-After") == (None if wait is None else "2")
    assert ("RetryInfo" in details) == (wait is not None)
    if wait is not None:
        assert details["RetryInfo"].retry_delay.ToNanoseconds() == 1_500_000_000


def _times_to_wait() -> list[tuple[str, str]]:
    """Each error that is made with a time to wait, anywhere in the server, and where."""
    calls = [
        (path.name, call)
        for path in Path(fovea_server.__file__).parent.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    ]
    return [(call.func.id, name) for name, call in calls if any(each.arg == "retry_after" for each in call.keywords)]


def test_only_what_may_go_well_the_next_time_says_when_that_is() -> None:
    found = _times_to_wait()
    assert {name for name, _ in found} >= {"Busy", "NotReady", "Draining"}
    for name, file in found:
        if name == "kind":  # NotReady or CrashLoop, as readiness.py has it
            continue
        kind = {**vars(errors), "WorkerDied": WorkerDied}[name]
        # A deadline that is refused at once may be met at another moment.
        passes = kind.rpc.name in {"RESOURCE_EXHAUSTED", "UNAVAILABLE"} or kind is errors.DeadlineUnreachable
        assert passes, f"{name} in {file}"
