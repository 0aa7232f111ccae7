"""POST paths that FastAPI describes and never sees: the request as it came goes to a function, its response out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from fovea_server.edge.problems import Problems

Endpoint = Callable[[Request], Awaitable[Response]]


class DirectPaths:
    """In front of an application. Its routing, validation, exit stacks and the layers that await one another around
    them, of which these paths need nothing, took a fifth of the event loop's time for an image (docs/performance.md).
    """

    def __init__(self, app: FastAPI, problems: Problems) -> None:
        self.app = app
        self._problems = problems
        self._endpoints: dict[str, Endpoint] = {}

    def post(self, path: str, endpoint: Endpoint, **description: Any) -> None:
        """Answer `path` with `endpoint`; the rest is what FastAPI's `add_api_route` takes to describe it."""
        self._endpoints[path] = endpoint
        self.app.router.add_api_route(path, endpoint, methods=["POST"], response_class=Response, **description)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await endpoint(request)
        except Exception as error:
            response = await self._problems.on_any_other(request, error)
        await response(scope, receive, send)
