"""Ask for a key before anything of a REST request is read."""

from __future__ import annotations

import base64

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from fovea_server.access.guard import Guard, current
from fovea_server.edge import scopes
from fovea_server.edge.problems import Problems
from fovea_server.errors import FoveaError, Unauthenticated

# A header of its own beside the other challenge: Chromium takes each for one challenge.
_FOR_BROWSERS = (b"www-authenticate", b'Basic realm="fovea", charset="UTF-8"')


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
            is_page = connection["method"] in ("GET", "HEAD") and scopes.is_page(path)
            authorization, key = request.headers.get("authorization"), request.headers.get("x-api-key")
            if is_page and key is None:
                authorization = _of_a_browser(authorization)
            try:
                current.set(self._guard.caller_of(authorization, key, scopes.of_path(path)))
            except FoveaError as error:
                asks_again = is_page and isinstance(error, Unauthenticated)
                said = Unauthenticated(f"{error}; in a browser the key is the password") if asks_again else error
                response = await self._problems.on_fovea_error(request, said)
                if asks_again:
                    response.raw_headers.append(_FOR_BROWSERS)
                await response(connection, receive, send)
                return
        await self._app(connection, receive, send)


def _of_a_browser(authorization: str | None) -> str | None:
    """A browser asks its user for a name and a password (RFC 7617): the key is the password, whatever the name.

    For pages only, which change nothing: a browser sends what it was given along with requests that other sites make.
    """
    scheme, _, encoded = (authorization or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return authorization
    try:
        password = base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except ValueError:  # no base64, or no UTF-8
        return authorization
    return f"Bearer {password}"
