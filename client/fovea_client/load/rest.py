"""Load for a REST face: photographs to POST /v1/classify, in turn, over connections that are kept.

The requests are built beforehand and of an answer only the status line and Content-Length are read, so that the
generator takes little of a small machine from the server it measures (benchmarks/README.md says how little).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from fovea_client.load.errors import LoadFailed
from fovea_client.load.loops import Loop, loop_of
from fovea_client.load.measured import Load
from fovea_client.load.photographs import Photograph
from fovea_client.load.schedule import Way
from fovea_client.load.tls import unreachable

GENERATOR = "fovea_client.load.rest"
GRACE = 30.0  # seconds an answer may still take when the time is over
_PATH = "/v1/classify"


@dataclass(frozen=True)
class Address:
    host: str
    port: int
    tls: bool = False

    @classmethod
    def of(cls, url: str) -> Address:
        """Raises LoadFailed where it is no http:// or https:// address."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise LoadFailed(f"{url} is not an address: {error}", "give it as http://127.0.0.1:8080") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LoadFailed(f"{url} is not an http:// or https:// address", "give it as http://127.0.0.1:8080")
        tls = parts.scheme == "https"
        return cls(parts.hostname, port or (443 if tls else 80), tls)

    def __str__(self) -> str:
        """As URLs and the header `Host` have it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class _Connection(asyncio.Protocol):
    """One connection: sends what it is given, and says when the whole answer is there."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._received = bytearray()
        self._length = 0  # of the answer, head and body; 0 until the head is there
        self._head = 0
        self._status = 0
        self._since: float | None = None  # when the request under way was due
        self._lost = "connection lost"  # what it is called when it ends before its time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        self._loop.ready(self)

    def send(self, request: bytes, since: float) -> None:
        self._since = since
        self._transport.write(request)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._length and not self._read_head():
            return
        if len(self._received) < self._length or self._since is None:
            return
        self._loop.answered(self._since, self._failure())
        self._received.clear()
        self._length, self._since = 0, None
        if self._transport.is_closing():
            return
        self._loop.ready(self)

    def connection_lost(self, exc: Exception | None) -> None:
        # Whether it is opened again is the loop's affair: fewer callers than asked for is a result of its own.
        self._loop.lost(self, self._lost if self._since is not None else None)

    def _failure(self) -> str | None:
        """None for a success, else the status with the reason that a problem document (RFC 9457) carries."""
        if self._status == 200:
            return None
        return failure(self._status, bytes(self._received[self._head : self._length]))

    def _read_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        try:
            self._status, body = read_head(bytes(self._received[:end]))
        except ValueError:
            self._lost = "unreadable answer"
            self._transport.close()
            return False
        self._head = end + 4
        self._length = self._head + body
        return True


def read_head(head: bytes) -> tuple[int, int]:
    """Status and body length of an HTTP/1.1 answer; ValueError where it has none or is not one."""
    lines = head.lower().split(b"\r\n")
    for line in lines[1:]:
        if line.startswith(b"content-length:"):
            return int(lines[0][9:12]), int(line[15:])
    raise ValueError("no Content-Length")


def failure(status: int, body: bytes) -> str:
    """What a refusal is counted as: "HTTP 429 BUSY"."""
    try:
        return f"HTTP {status} {json.loads(body)['reason']}"
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}"


def post(path: str, host: str, content_type: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """Head and body of a POST; `host` with its port."""
    fields = {"Host": host, "Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


async def measure(
    url: str,
    images: Sequence[Photograph],
    way: Way,
    seconds: float,
    headers: Mapping[str, str] | None = None,
    stop: asyncio.Event | None = None,
    tls: ssl.SSLContext | None = None,
) -> Load:
    """Ask the server at `url` about `images`, over and over, for `seconds` or until `stop`.

    `tls` is for https://; None trusts the usual authorities.
    """
    address = Address.of(url)
    path = urlsplit(url).path.rstrip("/") + _PATH  # behind a proxy it may have a prefix
    requests = [post(path, str(address), image.media_type, image.encoded, headers) for image in images]
    return await send(requests, address, way, seconds, hint="start the server with `fovea serve`", stop=stop, tls=tls)


async def send(
    requests: Sequence[bytes],
    address: Address,
    way: Way,
    seconds: float,
    *,
    hint: str,
    stop: asyncio.Event | None = None,
    tls: ssl.SSLContext | None = None,
) -> Load:
    """Send whole requests, one after the other on each connection, over and over.

    Raises LoadFailed, with the `hint` where nothing answers at `address`.
    """
    running = asyncio.get_running_loop()
    cycle: Iterator[bytes] = itertools.cycle(requests)

    async def connect() -> None:
        await running.create_connection(
            lambda: _Connection(loop), address.host, address.port, ssl=(tls or True) if address.tls else None
        )

    loop: Loop = loop_of(way, cycle, seconds, connect)
    cpu = time.process_time()
    try:
        await loop.run(stop, GRACE)
    except OSError as error:
        raise unreachable(str(address), error, hint, encrypted=address.tls) from error
    return loop.result(GENERATOR, time.process_time() - cpu)
