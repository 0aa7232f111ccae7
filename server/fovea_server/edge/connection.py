"""A REST connection: when the caller goes away, what is being answered on it stops."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from fovea_server.edge.large_bodies import LargeBodies
from fovea_server.edge.one_write import OneWrite
from fovea_server.errors import FoveaError


class Connection(LargeBodies):
    """uvicorn's, which leaves it to the application to ask whether somebody is still there. Ours works on an image
    without asking, so its task is cancelled: it leaves the waiting room, or its call to Triton is cancelled too."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._application: ASGIApp = self.app
        self._answering: asyncio.Task[None] | None = None
        self._answered: RequestResponseCycle | None = None  # of several that were sent ahead, the one whose turn it is
        self._is_over = False
        self.app = self._answer

    def on_message_complete(self) -> None:
        """All of it is here: read on, to notice when the caller goes away. uvicorn stopped reading at 64 KB of a body,
        and would not begin again before the answer."""
        super().on_message_complete()
        if not self.pipeline:
            self.flow.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._give_up()

    def _refuse(self, error: FoveaError) -> None:
        super()._refuse(error)
        self._give_up()

    def _give_up(self) -> None:
        """Whatever would still be said has nobody to hear it."""
        self._is_over = True
        if self._answered:
            self._answered.disconnected = True
        if self._answering:
            self._answering.cancel()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        self._answer_out = OneWrite(cycle)
        cycle.transport = self._answer_out  # type: ignore[assignment]  # what a cycle needs of one
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self._answer_out.flush()
        super().on_response_complete()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_over:
            return
        self._answering = asyncio.current_task()
        try:
            await self._application(scope, receive, send)
        except asyncio.CancelledError:
            if not self._is_over:
                raise
        finally:
            self._answering = None
