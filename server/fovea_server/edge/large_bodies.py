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
from fovea_server.errors import FoveaError

_MUCH = 64 * 1024  # bytes that are missing; less is not worth a second protocol
_MOST = 32 << 20  # bytes of a body that somebody may want to have: 20 MB of image in base64, and some
_PIECE = 256 * 1024  # bytes at a time: who announces much and sends little takes little
_TURN = 1 << 20  # bytes after which others have their turn
_PACED = 1 << 20  # bytes that are missing; of less, what costs is the request
_NOWHERE, _NOTHING = memoryview(bytearray(_PIECE)), memoryview(b"")


class LargeBodies(BoundedConnection):
    """Hands the connection over to `_PastTheParser` once the parser has seen the beginning of a large body."""

    _past: _PastTheParser | None = None  # here, like what few connections need, it takes no memory of idle ones

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.is_receiving_body():
            return
        announced = int(header(self.headers, b"content-length") or 0)
        missing = announced - self.body_bytes
        if missing < _MUCH:
            return
        if self.is_dropping():
            self._go_past(missing, bytearray())
        elif announced <= _MOST and self.is_for_images():
            # What came, and nobody has taken over yet; uvicorn stops reading when it has 64 KB.
            begun, self.cycle.body = self.cycle.body, bytearray()
            self.cycle.message_event.clear()
            self.flow.resume_reading()
            self._go_past(missing, begun)

    def _go_past(self, missing: int, begun: bytearray) -> None:
        self._past = _PastTheParser(self, missing, begun)
        self.transport.set_protocol(self._past)

    def some_came_past(self, count: int) -> None:
        self._unset_keepalive_if_required()
        if error := self.some_body_came(count):
            self.stop(error)

    def all_came_past(self, body: bytes) -> None:
        """The body is empty where nobody wants it."""
        self._past = None
        self.transport.set_protocol(self)
        if self.is_ending():
            return
        self.parser = _parser(self)  # the old one waits for what it will never see
        if not self.is_dropping():
            self.cycle.body = body  # type: ignore[assignment]  # whoever takes over bytes does not copy them
        self.on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:
            self.cycle.body = bytearray()  # which some endpoints do not read
            if self._past:
                self._past.drop()

    def stop(self, error: FoveaError) -> None:
        super().stop(error)
        if self._past:
            self._past.drop()

    def is_hasty(self) -> bool:
        return self._is_refused and self._is_hasty

    def pace(self, dropped: int) -> bool:
        """Keep who does not heed `Retry-After` waiting, by not reading on what nobody wants. Whether that is so."""
        now = self.loop.time()
        self._room.dropped.take(dropped, now)
        wait = self._room.dropped.wait(1, now)
        if wait:
            self.until += wait
            self.flow.pause_reading()
            self.loop.call_later(wait, self.flow.resume_reading)
        return wait > 0

    def let_others_read(self) -> None:
        self.flow.pause_reading()
        self.loop.call_soon(self.flow.resume_reading)


def _parser(connection: LargeBodies) -> httptools.HttpRequestParser:
    """As uvicorn makes one for each connection."""
    parser = httptools.HttpRequestParser(connection)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


class _PastTheParser(asyncio.BufferedProtocol):
    """In the connection's place until `missing` bytes have come; `begun` is what came before them.

    uvloop holds on to its methods for as long as to the connection, so what they need is let go of at the end.
    """

    def __init__(self, connection: LargeBodies, missing: int, begun: bytearray) -> None:
        self._connection = connection
        self._missing = missing
        self._is_paced = missing >= _PACED and connection.is_hasty()
        self._kept: list[bytearray | memoryview] = [begun]
        self._free = _NOTHING  # of what is kept, what is not filled yet
        self._this_turn = 0

    def drop(self) -> None:
        self._kept, self._free = [], _NOTHING

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._connection.is_dropping():
            self.drop()
            return _NOWHERE[: self._missing]
        if not self._free:
            self._free = np.empty(min(self._missing, _PIECE), np.uint8).data
            self._kept.append(self._free)
        return self._free

    def buffer_updated(self, nbytes: int) -> None:
        self._missing -= nbytes
        self._this_turn += nbytes
        self._free = self._free[nbytes:]
        self._connection.some_came_past(nbytes)
        if not self._missing:
            self._let_go().all_came_past(b"".join(self._taken()))
        elif self._is_paced and self._connection.pace(nbytes):
            self._this_turn = 0
        elif self._this_turn >= _TURN:
            self._this_turn = 0
            self._connection.let_others_read()

    def eof_received(self) -> None:
        self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.drop()
        self._let_go().connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def _taken(self) -> list[bytearray | memoryview]:
        kept = self._kept
        self.drop()
        return kept

    def _let_go(self) -> LargeBodies:
        connection = self._connection
        del self._connection
        return connection
