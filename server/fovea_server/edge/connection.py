"""A REST connection: when the caller goes away, what is being answered on it stops."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from fovea_server.edge.bounded_connection import BoundedConnection


class Connection(BoundedConnection):
    """uvicorn's, which leaves it to the application to ask whether somebody is still there. Ours works on an image
    without asking, so its task is cancelled: it leaves the waiting room, or its call to Triton is cancelled too."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._application: ASGIApp = self.app
        self._answering: asyncio.Task[None] | None = None
        self.app = self._answer

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._answering:
            self._answering.cancel()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._answering = asyncio.current_task()
        try:
            await self._application(scope, receive, send)
        except asyncio.CancelledError:
            if not self.transport.is_closing():
                raise
        finally:
            self._answering = None
