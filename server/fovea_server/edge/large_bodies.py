"""What is missing of a large body is read past the HTTP parser: to where it stays, or to nowhere.

Read, cut up by the parser, collected, taken over and put together, a body is copied five times; so it is copied once.
Who is refused and does not heed `Retry-After` could still keep the server busy with bodies that nobody wants, so theirs
are read slowly (docs/overload.md).
"""

from __future__ import annotations

import asyncio

import httptools
import numpy as np

from fovea_server.edge.bounded_connection import BoundedConnection
from fovea_server.edge.doorkeeper import header

_MUCH = 64 * 1024  # bytes that are missing; less is not worth a second protocol
_MOST = 32 << 20  # bytes of a body that somebody may want to have: 20 MB of image in base64, and some
_PIECE = 256 * 1024  # bytes at a time: many callers' reads share the event loop
_PACED = 1 << 20  # bytes that are missing; of less, what costs is the request
_NOWHERE, _NOTHING = memoryview(bytearray(_PIECE)), memoryview(b"")


class LargeBodies(BoundedConnection):
    """Hands the connection over to `_Rest` once the parser has seen the beginning of a large body."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.is_receiving_body():
            announced = int(header(self.headers, b"content-length") or 0)
            missing = announced - self.body_bytes
            if missing >= _MUCH and (announced <= _MOST or self.is_dropping()):
                self.transport.set_protocol(_Rest(self, missing, self._begun()))

    def _begun(self) -> bytearray:
        """What came of the body, and nobody has taken over yet; the rest comes behind it."""
        if self.is_dropping():
            return bytearray()
        begun, self.cycle.body = self.cycle.body, bytearray()
        self.cycle.message_event.clear()
        self.flow.resume_reading()
        return begun

    def body_is_complete(self, rest: memoryview) -> None:
        """The rest is empty where it was dropped."""
        if self.has_refused():
            return
        # The old one waits for what it will never see. Set as uvicorn sets it.
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        if not self.is_dropping():
            self.cycle.body = bytes(rest)  # type: ignore[assignment]  # which whoever takes it over does not copy
        self.on_message_complete()

    def is_hasty(self) -> bool:
        return self._is_refused and self._is_hasty

    def rest_after(self, dropped: int) -> None:
        """Keep who does not heed `Retry-After` waiting, by not reading on what nobody wants."""
        self._room.dropped.take(dropped)
        if wait := self._room.dropped.wait(1, self.loop.time()):
            self.until += wait
            self.flow.pause_reading()
            self.loop.call_later(wait, self.flow.resume_reading)


class _Rest(asyncio.BufferedProtocol):
    """In the connection's place until `missing` bytes have come; `begun` is what came before them."""

    def __init__(self, connection: LargeBodies, missing: int, begun: bytearray) -> None:
        self._connection = connection
        self._missing = missing
        self._is_paced = missing >= _PACED and connection.is_hasty()
        # Memory that the kernel gives as it is filled: who announces much and sends little takes little.
        self._body = np.empty(0 if connection.is_dropping() else len(begun) + missing, np.uint8).data
        self._body[: len(begun)] = begun

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._connection.is_dropping():
            self._body = _NOTHING
            return _NOWHERE[: self._missing]
        at = len(self._body) - self._missing
        return self._body[at : at + _PIECE]

    def buffer_updated(self, nbytes: int) -> None:
        self._missing -= nbytes
        self._connection.some_body_came(nbytes)
        if not self._missing:
            self._connection.transport.set_protocol(self._connection)
            self._connection.body_is_complete(self._body)
        elif self._is_paced and not self._body:
            self._connection.rest_after(nbytes)

    def eof_received(self) -> None:
        self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()
