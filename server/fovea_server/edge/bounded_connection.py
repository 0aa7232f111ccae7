"""One REST connection: uvicorn's, with an end to waiting for callers who send slowly, oddly, or nothing at all.

Slow senders are the attack known as Slowloris (CVE-2007-6750); uvicorn itself waits for ever.
"""

from __future__ import annotations

import asyncio
import enum
import math
from collections.abc import Callable
from typing import Any

from fovea_server.edge import request_id
from fovea_server.edge.doorkeeper import Doorkeeper, header
from fovea_server.edge.listen import ConnectionLimits
from fovea_server.edge.receiving import Receiving
from fovea_server.errors import FoveaError, HeadersTooLarge, MalformedRequest, ReceiveTimeout, TooManyConnections
from fovea_server.request.admission.token_bucket import TokenBucket

SWEEP_SECONDS = 0.5
_LINGERING = 256  # connections beyond the limit whose callers are being told so; more are cut off without a word
_MANY_PIECES = 10_000
_LEAST_PIECE = 64  # bytes, on average, of the chunks of a body that comes in many
_DROPPED_AT_ONCE = 0.1  # seconds' worth
_AHEAD = 32  # requests that may be sent before the one that is being answered is; a few bytes each, and kilobytes here


class Room:
    """How many connections there may be; which of them wait for a request, those that wait longest first."""

    def __init__(self, limits: ConnectionLimits, refused: Callable[[str], None]) -> None:
        self.limits = limits
        self.refused = refused  # told the reason of each refusal
        self.open: set[BoundedConnection] = set()
        self.waiting: dict[BoundedConnection, None] = {}
        self.receiving = Receiving(limits.received_bytes)
        self.dropped = TokenBucket(limits.dropped_bytes, _DROPPED_AT_ONCE)

    def make(self) -> bool:
        """Room for the one that came last, where need be at the cost of the one that has waited longest."""
        if len(self.open) <= self.limits.max_connections:
            return True
        for longest in self.waiting:
            longest.leave()
            return True
        return False

    def is_crowded(self) -> bool:
        """Whether more are lingering than may: who has to go then has no time to read or to say goodbye."""
        return len(self.open) > self.limits.max_connections + _LINGERING

    def sweep(self, now: float) -> None:
        """Cut those whose time is over before the next sweep; `now` is on the event loop's clock."""
        for connection in self.open:
            if connection.transport.is_closing():  # once the caller has read what is left, which may be never
                connection.read_until = min(connection.read_until, now + self.limits.body_seconds)
        next_sweep = now + SWEEP_SECONDS
        for connection in [each for each in self.open if each.until < next_sweep or each.read_until < next_sweep]:
            connection.cut(now)


class _Phase(enum.Enum):
    IDLE = enum.auto()
    HEADERS = enum.auto()
    BODY = enum.auto()
    RECEIVED = enum.auto()


class BoundedConnection(Doorkeeper):
    """Knows by when the caller must have sent what it is sending, and have read on. The clock is looked at by
    `Room.sweep` alone."""

    until = read_until = math.inf

    def __init__(self, room: Room, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._room = room
        self._limits = room.limits
        self._phase = _Phase.HEADERS
        self._has_spoken = False
        self._unfinished = 0  # bytes since the last read in which headers began or some of a body came
        self._pieces = 0
        self.body_bytes = 0  # that came so far
        self.body_began = 0.0
        self._refusal: FoveaError | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        room = self._room
        room.open.add(self)
        if not room.make():
            most = self._limits.max_connections
            self._refuse(TooManyConnections(f"all {most:,} connections there may be are at work", retry_after=1.0))
            return
        room.waiting[self] = None
        self.until = self.loop.time() + self._limits.header_seconds

    def connection_lost(self, error: Exception | None) -> None:
        self._room.open.discard(self)
        self._room.waiting.pop(self, None)
        self._room.receiving.done(self)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        self._has_spoken = True
        self._unfinished += len(data)
        super().data_received(data)
        # Of headers, or of what follows the last chunk of a body, which the parser keeps as well.
        is_coming = self._phase in (_Phase.HEADERS, _Phase.BODY)
        if is_coming and self._unfinished > self._limits.header_bytes and self._refusal is None:
            self._refuse(self._too_large(self._unfinished))

    def on_message_begin(self) -> None:
        self._unfinished = 0  # what else was read together with its first bytes may be another request's
        if self._phase is not _Phase.HEADERS:
            self._phase = _Phase.HEADERS
            self.until = self.loop.time() + self._limits.header_seconds
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase is _Phase.HEADERS:  # fields behind a body are nobody's (RFC 9110, 6.5.1)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._room.waiting.pop(self, None)
        if len(self.headers) > self._limits.headers:
            self._stop(HeadersTooLarge(f"there are {len(self.headers):,} headers; at most {self._limits.headers:,}"))
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self._limits.header_bytes:
            self._stop(self._too_large(size))
        if len(self.pipeline) >= _AHEAD:
            self._stop(MalformedRequest(f"more than {_AHEAD} requests were sent before one was answered"))
        if self.parser.should_upgrade():
            self._keep_from_upgrading()
        super().on_headers_complete()
        self._phase = _Phase.BODY
        self._unfinished = self._pieces = self.body_bytes = 0
        self.body_began = self.loop.time()
        self.until = self.body_began + self._limits.body_seconds
        self._rest()

    def on_body(self, body: bytes) -> None:
        if error := self.some_body_came(len(body)):
            self._stop(error)
        self._pieces += 1
        if self._pieces > _MANY_PIECES and self.body_bytes < _LEAST_PIECE * self._pieces:
            mean = self.body_bytes / self._pieces
            self._stop(MalformedRequest(f"the body came in {self._pieces:,} chunks of {mean:.0f} bytes on average"))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._room.receiving.done(self)
        super().on_message_complete()
        self._phase = _Phase.RECEIVED
        self.until = math.inf
        self._rest()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._phase is _Phase.BODY and self.cycle.response_complete:  # of this body, and not of one before it
            self._room.receiving.done(self)
        self._rest()

    def some_body_came(self, count: int) -> FoveaError | None:
        """So many bytes of it, parsed or not. Why no more is taken, if that is so."""
        self._unfinished = 0
        self.body_bytes += count
        return None if self.is_dropping() else self._room.receiving.came(self, count, self.loop.time())

    def is_receiving_body(self) -> bool:
        """Of the request that is to be answered next."""
        return self._phase is _Phase.BODY and not self.pipeline and not self.is_ending()

    def is_dropping(self) -> bool:
        """Whether nobody wants what is being received."""
        return self._is_refused or self.is_ending() or self.cycle.response_complete

    def is_ending(self) -> bool:
        """Whether the connection is at its end, whatever still comes."""
        return self._refusal is not None or self._has_ended or self.transport.is_closing()

    def pause_writing(self) -> None:
        """The caller does not read the answer as fast as it is sent; who does not read on is cut, too."""
        super().pause_writing()
        self.read_until = self.loop.time() + self._limits.body_seconds

    def resume_writing(self) -> None:
        super().resume_writing()
        self.read_until = math.inf

    def send_400_response(self, msg: str) -> None:
        """What uvicorn does where the parser gives up: of itself, or because we stopped it."""
        self._refuse(self._refusal or MalformedRequest("this is not HTTP/1.1 as RFC 9112 has it"))

    def is_read(self) -> bool:
        return not self.flow.read_paused

    def stop(self, error: FoveaError) -> None:
        """Receive no more of a body, though nothing is wrong with it."""
        self._refuse(error)

    def leave(self) -> None:
        """Make room for another; nothing is being asked here."""
        self._room.waiting.pop(self, None)
        if self._room.is_crowded():
            self.transport.abort()
        else:
            self.say_goodbye()

    def cut(self, now: float) -> None:
        """The time is over; unless it is we who do not read."""
        if self.read_until < now + SWEEP_SECONDS:
            self.transport.abort()
        elif self.flow.read_paused or (self._phase is _Phase.HEADERS and not self._is_answered()):
            self.until = now + self._limits.body_seconds
        elif not self._has_spoken:  # opened in advance, as browsers and pools do: nothing was asked, so nothing refused
            self.until = math.inf
            self.leave()
        elif self._phase is _Phase.HEADERS:
            seconds = self._limits.header_seconds
            self._refuse(ReceiveTimeout(f"the headers were not complete after {seconds:g} s"))
        else:
            seconds = self._limits.body_seconds
            self._refuse(ReceiveTimeout(f"{self.body_bytes:,} bytes of the body came in {seconds:g} s, not all of it"))

    def _keep_from_upgrading(self) -> None:
        """The parser takes all that follows for another protocol, and what is read next for another request."""
        if header(self.headers, b"transfer-encoding") or header(self.headers, b"content-length") not in (None, b"0"):
            self._stop(MalformedRequest("no other protocol is spoken here; send a body without the header Upgrade"))

    def _rest(self) -> None:
        """Once all is answered, wait for a next request, or for the rest of a body that was refused."""
        if self._phase not in (_Phase.BODY, _Phase.RECEIVED) or not self._is_answered():
            return
        if self._phase is _Phase.RECEIVED:
            self._phase = _Phase.IDLE
        self._room.waiting[self] = None

    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _too_large(self, size: int) -> FoveaError:
        return HeadersTooLarge(f"the headers have {size:,} bytes or more; at most {self._limits.header_bytes:,}")

    def _stop(self, error: FoveaError) -> None:
        """Out of the parser, which then calls send_400_response."""
        self._refusal = error
        raise error

    def _refuse(self, error: FoveaError) -> None:
        """Say why, where that would not be heard as part of another answer, and end the connection."""
        if self._has_ended:
            return
        self._refusal = error
        self.until = math.inf
        self._room.waiting.pop(self, None)
        self._room.receiving.done(self)
        self._room.refused(error.reason)
        if not self._may_speak():
            self.transport.abort()
            return
        identity = self.request_id() if self._phase is _Phase.BODY else request_id.accept(None)
        self.transport.write(self.as_bytes(error, identity, is_last=True))
        self.end_after_reading()

    def _may_speak(self) -> bool:
        if self.pipeline or self._room.is_crowded():
            return False
        if self._phase in (_Phase.HEADERS, _Phase.IDLE):
            return self._is_answered()
        return self.cycle is not None and not self.cycle.response_started
