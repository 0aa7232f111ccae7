"""Errors as REST answers: problem details (RFC 9457), one shape for everything that can go wrong."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import Request, Response
from starlette.exceptions import HTTPException

from fovea_server.edge import unexpected
from fovea_server.edge.request_id import of_request
from fovea_server.errors import FoveaError
from fovea_server.logs import get_logger
from fovea_server.metrics import Metrics

MEDIA_TYPE = "application/problem+json"

_log = get_logger("rest")


class Problems:
    """The framework's exception handlers. What concerns an image is counted by its reason."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def on_fovea_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, FoveaError)
        if error.http == HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.warning("not answered", request_id=of_request(request), reason=error.reason, detail=str(error))
        if request.url.path.startswith("/v1/"):
            self._metrics.refused(error.reason)
        return of_error(error, of_request(request))

    async def on_http_exception(self, request: Request, error: Exception) -> Response:
        """What the framework refuses by itself: no such path, no such method."""
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        headers = dict(error.headers or {})
        instead = f"use {headers['Allow']}" if "Allow" in headers else "what there is stands at /docs and /openapi.json"
        detail = f"{request.method} {request.url.path}: {status.phrase.lower()}; {instead}"
        return _answer(status, status.name, status.phrase, detail, of_request(request), headers)

    async def on_any_other(self, request: Request, error: Exception) -> Response:
        return await self.on_fovea_error(request, unexpected.as_ours(error, of_request(request)))


def of_error(error: FoveaError, request_id: str) -> Response:
    """The problem document of an error of ours."""
    headers = {} if error.challenge is None else {"WWW-Authenticate": error.challenge}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))  # whole seconds, RFC 9110
    return _answer(error.http, error.reason, error.title, str(error), request_id, headers)


def _answer(
    status: HTTPStatus, reason: str, title: str, detail: str, request_id: str, headers: dict[str, str]
) -> Response:
    body = orjson.dumps(document(status, reason, title, detail, request_id))
    return Response(body, status.value, headers={**headers, "X-Request-ID": request_id}, media_type=MEDIA_TYPE)


def document(status: HTTPStatus, reason: str, title: str, detail: str, request_id: str) -> dict[str, Any]:
    return {
        "type": f"urn:fovea:problem:{reason.lower().replace('_', '-')}",
        "title": title,
        "status": status.value,
        # Names that a caller made up may hold what UTF-8 cannot.
        "detail": detail.encode("utf-8", "replace").decode(),
        "reason": reason,
        "request_id": request_id,
    }
