"""A route whose function is given the request as it came: FastAPI describes it, and does nothing else for it."""

from __future__ import annotations

from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import Receive, Scope, Send


class ImageRoute(APIRoute):
    """For a function of a Request that gives a Response.

    Dependencies, validation and exit stacks, of which it needs none, cost a tenth of the gateway's time for an image
    (docs/performance.md). Exceptions reach the application's handlers as ever.
    """

    def __init__(self, path: str, endpoint: Any, **settings: Any) -> None:
        super().__init__(path, endpoint, **settings)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive))
            await response(scope, receive, send)

        self.app = answer
