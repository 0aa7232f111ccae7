"""Questions and answers between two processes, in both directions, over one socket: each is a line of JSON."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fovea_server.logs import get_logger

_log = get_logger("workers")
_LONGEST = 256 << 20  # bytes of a line: the labels of every model are in one

Handler = Callable[..., Awaitable[Any]]


class ChannelClosed(Exception):
    """The process at the other end is gone."""

    def __init__(self) -> None:
        super().__init__("it ended")


class Refused(Exception):
    """The process at the other end could not do what it was asked; the message is its own."""


class Channel:
    """Make one with `open`. What is asked of us is begun in the order of asking, and answered as each is done."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handlers: Mapping[str, Handler]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handlers = handlers
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, end: socket.socket, handlers: Mapping[str, Handler]) -> Channel:
        """One end of a pair of sockets; `handlers` answer, by name, what the other end asks."""
        reader, writer = await asyncio.open_unix_connection(sock=end, limit=_LONGEST)
        return cls(reader, writer, handlers)

    async def ask(self, what: str, **arguments: Any) -> Any:
        """What the other end answers. Raises ChannelClosed or Refused."""
        if self._reading.done():
            raise ChannelClosed
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        self._send({"ask": number, "what": what, "arguments": arguments})
        try:
            return await answer
        finally:
            del self._asked[number]

    async def closed(self) -> None:
        """Return once the other end is gone."""
        await asyncio.wait({self._reading})

    def close(self) -> None:
        self._reading.cancel()
        self._writer.close()

    def _send(self, message: Mapping[str, Any]) -> None:
        self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                self._take(json.loads(line))
        except OSError:
            return  # as good as its end
        finally:
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(ChannelClosed())

    def _take(self, message: dict[str, Any]) -> None:
        if "ask" in message:
            task = asyncio.create_task(self._answer(message["ask"], message["what"], message["arguments"]))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
            return
        answer = self._asked.get(message["answer"])
        if answer is None or answer.done():
            return  # nobody waits for it any more
        if "refused" in message:
            answer.set_exception(Refused(message["refused"]))
        else:
            answer.set_result(message["value"])

    async def _answer(self, number: int, what: str, arguments: dict[str, Any]) -> None:
        try:
            said = {"value": await self._handlers[what](**arguments)}
        except Exception as error:
            _log.warning("refused", what=what, exc_info=error)
            said = {"refused": f"{type(error).__name__}: {error}"}
        if not self._reading.done():
            self._send({"answer": number, **said})
