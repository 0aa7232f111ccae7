"""HTTP/1.1 to Triton over connections that are kept, one request at a time on each; httptools parses the answers.

The client of a library costs several times what the call itself does (docs/performance.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import httptools

_JSON_LENGTH = b"inference-header-content-length"
_GET = b"GET %b HTTP/1.1\r\nHost: triton\r\n\r\n"
_POST = b"POST %b HTTP/1.1\r\nHost: triton\r\nContent-Length: %d\r\nInference-Header-Content-Length: %d\r\n\r\n"

_CONNECT = 5.0  # seconds
_ABANDONED = 448  # connections, besides those in use, of requests that nobody waits for any more


class NotConnected(Exception):
    """There was no connection; the request was not sent."""


class Answer:
    """A status, the length of the JSON that begins the body (0: nothing is said of one), and the body."""

    __slots__ = ("body", "json_length", "status")

    def __init__(self, status: int, json_length: int, body: bytes) -> None:
        self.status = status
        self.json_length = json_length
        self.body = body


# What became of a request: None where the connection ended first; an error, made by whom it is raised by, where whoever
# waited ended it. An error that the future held would hold everything that its traceback knows, the image too.
Outcome = Answer | Callable[[], Exception] | None


class Connections:
    """To one address, `unix:PATH` or `HOST:PORT`, for so many requests `at_once`; inside one running event loop."""

    def __init__(self, address: str, at_once: int) -> None:
        self._address = address
        self._most = at_once + _ABANDONED
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()

    async def post(self, path: str, json: bytes, tensor: bytes, answer: asyncio.Future[Outcome]) -> None:
        """Send JSON and the tensor behind it; `answer` gets what becomes of it. Raises NotConnected.

        Where `answer` is done before, the connection is used again once Triton is done with the request; where it is
        done before there is one, nothing is sent.
        """
        await self._send((_POST % (path.encode(), len(json) + len(tensor), len(json)), json, tensor), answer)

    async def get(self, path: str, seconds: float) -> Answer | None:
        """None where there was no answer in time, for whatever reason."""
        try:
            return await asyncio.wait_for(self._got(path), seconds)
        except (NotConnected, asyncio.TimeoutError):
            return None

    async def _got(self, path: str) -> Answer | None:
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        await self._send((_GET % path.encode(),), answer)
        said = await answer
        return said if isinstance(said, Answer) else None

    async def _send(self, parts: Sequence[bytes], answer: asyncio.Future[Outcome]) -> None:
        if connection := self._idle_one() or await self._new_one(unless=answer):
            connection.send(parts, answer)

    def close(self) -> None:
        for connection in list(self._all):
            connection.end()

    def _idle_one(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_ending:
                return connection
        return None

    async def _new_one(self, unless: asyncio.Future[Outcome]) -> _Connection | None:
        """None where `unless` is done first."""
        if len(self._all) >= self._most:
            raise NotConnected(f"all {self._most} connections wait for answers")
        connecting = asyncio.create_task(self._connected())
        try:
            await asyncio.wait((connecting, unless), timeout=_CONNECT, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._give_up(connecting)
            raise
        if unless.done():
            self._give_up(connecting)
            return None
        if not connecting.done():
            self._give_up(connecting)
            raise NotConnected(f"it took no connection within {_CONNECT:g} s")
        try:
            return connecting.result()
        except OSError as error:
            raise NotConnected(error.strerror or str(error)) from None

    def _give_up(self, connecting: asyncio.Task[_Connection]) -> None:
        """Where there is a connection after all, who asks next takes it."""
        connecting.cancel()
        connecting.add_done_callback(
            lambda task: None if task.cancelled() or task.exception() else self._idle.append(task.result())
        )

    async def _connected(self) -> _Connection:
        loop = asyncio.get_running_loop()
        if self._address.startswith("unix:"):
            return (await loop.create_unix_connection(self._new, self._address[5:]))[1]
        host, _, port = self._address.rpartition(":")
        return (await loop.create_connection(self._new, host, int(port)))[1]

    def _new(self) -> _Connection:
        return _Connection(self._idle, self._all)


class _Connection(asyncio.Protocol):
    """Puts itself among the idle once its answer is there, and leaves them when it ends."""

    def __init__(self, idle: list[_Connection], open_ones: set[_Connection]) -> None:
        self._idle = idle
        self._open = open_ones
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Outcome] | None = None
        self._json_length = 0
        self._body: list[bytes] = []

    def send(self, parts: Sequence[bytes], answer: asyncio.Future[Outcome]) -> None:
        self._answer = answer
        self._transport.writelines(parts)

    @property
    def is_ending(self) -> bool:
        return self._transport.is_closing()

    def end(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._open.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.end()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == _JSON_LENGTH:
            self._json_length = int(value)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        said = Answer(self._parser.get_status_code(), self._json_length, b"".join(self._body))
        self._body.clear()
        self._json_length = 0
        if said.status < 200:
            return  # the answer proper is still to come
        answer, self._answer = self._answer, None
        if self._parser.should_keep_alive() and answer is not None:
            self._idle.append(self)
        else:
            self.end()
        if answer is not None and not answer.done():
            answer.set_result(said)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        if self in self._idle:
            self._idle.remove(self)
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)
