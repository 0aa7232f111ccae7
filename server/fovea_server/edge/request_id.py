"""The id of a request: the caller's if it is fit to be repeated, else one of ours. Every answer repeats it."""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fovea_client import request_ids

HEADER = "X-Request-ID"
FIELD = HEADER.lower().encode()  # as ASGI and uvicorn name it


def accept(given: str | None) -> str:
    """`given` if it is 1 to 128 harmless characters, else a new random id."""
    if given and request_ids.is_fit(given):
        return given
    return secrets.token_hex(16)


def of_request(request: Request) -> str:
    """The id of a REST request, decided once."""
    if not hasattr(request.state, "request_id"):
        request.state.request_id = accept(request.headers.get(HEADER))
    return str(request.state.request_id)


class WithId:
    """An application each answer of which has the id, whoever writes the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                if all(name != FIELD for name, _ in headers):
                    message["headers"] = [*headers, (FIELD, of_request(Request(scope)).encode())]
            await send(message)

        await self._app(scope, receive, send_with_id)
