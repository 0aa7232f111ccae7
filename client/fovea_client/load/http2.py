"""One HTTP/2 connection (RFC 9113) that asks a gRPC face one thing at a time; hpack reads the headers.

A call of grpc.aio takes half a CPU-millisecond for a photograph of 106 KB, which on a small machine is taken from the
server that is measured (docs/performance.md).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator, Mapping
from typing import cast

import grpc
import hpack

from fovea_client.load.loops import Loop

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM = _ACK = 0x1
_END_HEADERS, _PADDED, _PRIORITY = 0x4, 0x8, 0x20
_INITIAL_WINDOW, _MAX_FRAME = 4, 5  # settings
_FIRST_WINDOW, _LARGEST_WINDOW = 65_535, 2**31 - 1
_LEAST_MAX_FRAME = 16_384  # what either side may send until the other allows more; we do not
_CANCEL = struct.pack(">I", 8)
_NAMES = {str(code.value[0]): code.name for code in grpc.StatusCode}


def message(serialized: bytes) -> bytes:
    """As gRPC frames it: not compressed, its length, itself."""
    return struct.pack(">BI", 0, len(serialized)) + serialized


def head(scheme: str, authority: str, path: str, seconds: float, metadata: Mapping[str, str]) -> bytes:
    """The headers of a call, encoded so that they change nothing for the next ones."""
    fields = {
        ":method": "POST",
        ":scheme": scheme,
        ":path": path,
        ":authority": authority,
        "te": "trailers",
        "content-type": "application/grpc",
        "grpc-timeout": f"{seconds * 1000:.0f}m",
        **metadata,
    }
    return hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields.items()], huffman=False)


class NoHttp2(ConnectionError):
    """Something listens there, and does not speak HTTP/2."""


class Http2Connection(asyncio.Protocol):
    """Tells its loop how each call ended. `greeted` is done once the other side has said how it wants to be spoken to;
    it fails with NoHttp2."""

    def __init__(self, loop: Loop, head: bytes) -> None:
        self._loop = loop
        self._head = head
        self._decoder = hpack.Decoder()
        self._received = bytearray()
        self._block = b""  # of headers that go on in the next frame
        self._flags = 0  # of their first
        self._stream = -1
        self._since: float | None = None  # when the call under way was due
        self._status = ""  # its grpc-status
        self._http = ""
        self._unsent = memoryview(b"")
        self._max_frame = _LEAST_MAX_FRAME
        self._first_window = _FIRST_WINDOW
        self._window = 0  # bytes the stream may still take
        self._shared_window = _FIRST_WINDOW  # and the connection
        self._read = 0  # bytes of answers since they were last allowed anew
        self._is_last = False
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        settings = struct.pack(">HI", _INITIAL_WINDOW, _LARGEST_WINDOW)
        self._transport.write(_PREFACE + _frame(_SETTINGS, 0, 0, settings) + _allow(_LARGEST_WINDOW - _FIRST_WINDOW))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.greeted.done():
            self.greeted.set_exception(NoHttp2())
        if self.greeted.cancelled() or self.greeted.exception():
            return  # whoever opened it has been told
        self._loop.lost(self, "connection lost" if self._since is not None else None)

    def send(self, request: bytes, since: float) -> None:
        """A gRPC message with its length."""
        self._stream += 2
        self._since = since
        self._status = self._http = ""
        self._window = self._first_window
        self._unsent = memoryview(request)
        self._send([_frame(_HEADERS, _END_HEADERS, self._stream, self._head)])

    def close(self) -> None:
        """At once: over TLS, gRPC's servers do not answer a goodbye, which would be waited for."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        for kind, flags, stream, payload in self._frames():
            self._take(kind, flags, stream, payload)

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        at = 0
        while len(self._received) - at >= 9:
            size = int.from_bytes(self._received[at : at + 3], "big")
            if size > _LEAST_MAX_FRAME:
                self._transport.abort()  # no HTTP/2, or none that heeds what was said
                return
            if len(self._received) - at < 9 + size:
                break
            kind, flags, stream = struct.unpack_from(">BBI", self._received, at + 3)
            at += 9 + size
            yield kind, flags, stream & _LARGEST_WINDOW, bytes(self._received[at - size : at])
        del self._received[:at]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            self._take_of_call(kind, flags, payload, is_current=stream == self._stream)
        elif kind == _SETTINGS and not flags & _ACK:
            self._settle(payload)
        elif kind == _PING and not flags & _ACK:
            self._transport.write(_frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW_UPDATE:
            self._shared_window += int.from_bytes(payload, "big")
            self._send([])
        elif kind == _GOAWAY:
            self._is_last = True
            if self._since is None:
                self.close()

    def _take_of_call(self, kind: int, flags: int, payload: bytes, *, is_current: bool) -> None:
        """What is said of a call that is over matters only to what both sides count, and to what headers refer to."""
        if kind == _DATA:
            self._count(len(payload))
        elif kind in (_HEADERS, _CONTINUATION):
            flags = self._read_head(kind, flags, payload, is_current=is_current)
        elif kind == _WINDOW_UPDATE and is_current:
            self._window += int.from_bytes(payload, "big")
            self._send([])
        elif kind == _RST_STREAM and is_current:
            self._http = self._http or f"reset {int.from_bytes(payload, 'big')}"
            flags = _END_STREAM
        if is_current and kind in (_DATA, _HEADERS, _CONTINUATION, _RST_STREAM) and flags & _END_STREAM:
            self._answered()

    def _settle(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == _INITIAL_WINDOW:
                self._window += value - self._first_window
                self._first_window = value
            elif name == _MAX_FRAME:
                self._max_frame = value
        self._transport.write(_frame(_SETTINGS, _ACK, 0))
        if self.greeted.done():
            self._send([])
        else:
            self.greeted.set_result(None)
            self._loop.ready(self)

    def _send(self, parts: list[bytes | memoryview]) -> None:
        """These, and as much of the request as may be."""
        while self._unsent and (size := min(len(self._unsent), self._max_frame, self._window, self._shared_window)) > 0:
            part, self._unsent = self._unsent[:size], self._unsent[size:]
            self._window -= size
            self._shared_window -= size
            parts += (_frame_head(size, _DATA, 0 if self._unsent else _END_STREAM, self._stream), part)
        if parts:
            self._transport.write(b"".join(parts))

    def _read_head(self, kind: int, flags: int, payload: bytes, *, is_current: bool) -> int:
        """The flags of the whole, once the whole is there; 0 before."""
        if kind == _HEADERS:
            padding = payload[0] if flags & _PADDED else 0
            begin = (1 if flags & _PADDED else 0) + (5 if flags & _PRIORITY else 0)
            self._block, self._flags = payload[begin : len(payload) - padding], flags
        else:
            self._block += payload
        if not flags & _END_HEADERS:
            return 0
        fields = dict(self._decoder.decode(self._block, raw=True))
        if is_current:
            self._status = fields.get(b"grpc-status", b"").decode() or self._status
            if (http := fields.get(b":status", b"200").decode()) != "200":
                self._http = f"HTTP {http}"
        return self._flags

    def _count(self, size: int) -> None:
        self._read += size
        if self._read > _LARGEST_WINDOW // 2:
            self._transport.write(_allow(self._read))
            self._read = 0

    def _answered(self) -> None:
        since = self._since
        if since is None:
            return
        if self._unsent:  # it was answered before all of it was there
            self._unsent = memoryview(b"")
            self._transport.write(_frame(_RST_STREAM, 0, self._stream, _CANCEL))
        self._since = None
        self._loop.answered(since, self._failure())
        if self._is_last:
            self.close()
        elif not self._transport.is_closing():
            self._loop.ready(self)

    def _failure(self) -> str | None:
        if self._status == "0":
            return None
        return _NAMES.get(self._status) or self._http or "unreadable answer"


def _frame_head(size: int, kind: int, flags: int, stream: int) -> bytes:
    return struct.pack(">HBBBI", size >> 8, size & 0xFF, kind, flags, stream)


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return _frame_head(len(payload), kind, flags, stream) + payload


def _allow(size: int) -> bytes:
    """So many more bytes of answers."""
    return _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", size))
