"""Ask for a key before anything of a REST request is read."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from fovea_server.access.guard import Guard, current
from fovea_server.edge import scopes
from fovea_server.edge.problems import Problems
from fovea_server.errors import FoveaError


class GuardedApp:
    """An application behind the guard. What is refused never reaches it, nor is its body read."""

    def __init__(self, app: ASGIApp, guard: Guard, problems: Problems) -> None:
        self._app = app
        self._guard = guard
        self._problems = problems

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        path = connection["path"]
        if path not in scopes.OPEN_PATHS:
            request = Request(connection)
            sent = request.headers.get("authorization"), request.headers.get("x-api-key")
            try:
                current.set(self._guard.caller_of(*sent, scopes.of_path(path)))
            except FoveaError as error:
                response = await self._problems.on_fovea_error(request, error)
                await response(connection, receive, send)
                return
        await self._app(connection, receive, send)
