"""Turn requests away before they are read, in an overload: for a small part of what reading and refusing one costs."""

from __future__ import annotations

from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from fovea_server.domain import Priority
from fovea_server.edge import options, problems, request_id
from fovea_server.errors import FoveaError
from fovea_server.metrics import Metrics

_PATHS = frozenset(("/v1/classify", "/v1/analyze"))


class Admission(Protocol):
    @property
    def is_overloaded(self) -> bool: ...
    def refusal_unread(self, priority: Priority) -> FoveaError | None: ...


class EarlyRefusal:
    """Around the REST application. uvicorn reads on and throws away what is left of a body."""

    def __init__(self, app: ASGIApp, admission: Admission, metrics: Metrics) -> None:
        self._app = app
        self._admission = admission
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._admission.is_overloaded and scope.get("path") in _PATHS and scope["method"] == "POST":
            headers = Headers(scope=scope)
            error = self._refusal(headers)
            if error is not None:
                self._metrics.refused(error.reason)
                answer = problems.of_error(error, request_id.accept(headers.get(request_id.HEADER)))
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers) -> FoveaError | None:
        try:
            return self._admission.refusal_unread(options.priority(headers.get(options.PRIORITY)))
        except FoveaError:
            return None  # what is wrong with the request is for the application to say
