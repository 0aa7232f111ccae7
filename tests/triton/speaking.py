"""A small server that answers as a test says, for those that ask Triton over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

Speak = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Heard:
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


def reply(body: bytes, *, status: bytes = b"200 OK", json_length: int | None = None) -> bytes:
    said = b"" if json_length is None else b"Inference-Header-Content-Length: %d\r\n" % json_length
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), said, body)


@contextlib.asynccontextmanager
async def speaking(socket: Path, speak: Speak) -> AsyncIterator[Heard]:
    """For each request `speak(body, writer)`, on one Unix socket."""
    heard, writers = Heard(), set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.connections += 1
        writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((line for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), b"0:0")
                body = await reader.readexactly(int(length.partition(b":")[2]))
                heard.heads.append(head)
                heard.bodies.append(body)
                await speak(body, writer)

    server = await asyncio.start_unix_server(converse, socket)
    try:
        yield heard
    finally:
        server.close()
        for writer in writers:
            writer.close()
