"""The REST generator against a real HTTP server, as small as it can be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from benchmarks import rest_load
from benchmarks.errors import LoadFailed

from fovea_client.load.photographs import Photograph

IMAGES = tuple(Photograph(f"{size}.jpg", "image/jpeg", bytes([size]) * size * 1000) for size in (1, 100, 250))
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Received:
    """What the server saw."""

    url: str = ""
    connections: int = 0
    bodies: list[bytes] = field(default_factory=list)
    heads: set[bytes] = field(default_factory=set)


@contextlib.asynccontextmanager
async def serving(answer: Callable[[int], list[bytes]]) -> AsyncIterator[Received]:
    """A server that reads each request whole and writes the pieces of `answer(requests so far)`; none hangs up."""
    received = Received()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
                received.heads.add(head.splitlines()[0])
                received.bodies.append(await reader.readexactly(length))
                await asyncio.sleep(0.002)
                pieces = answer(len(received.bodies))
                for piece in pieces:
                    writer.write(piece)
                    await asyncio.sleep(0)
                if not pieces:
                    break
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    received.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield received
    finally:
        server.close()


async def test_photographs_are_sent_in_turn_over_connections_that_stay_open() -> None:
    async with serving(lambda count: [_OK]) as received:
        load = await rest_load.measure(received.url, IMAGES, concurrency=3, seconds=0.3)
    assert received.connections == 3
    assert received.heads == {b"POST /v1/classify HTTP/1.1"}
    assert set(received.bodies) == {image.encoded for image in IMAGES}
    assert load.served == len(received.bodies)
    assert load.images is not None
    assert 0 < load.images <= load.served <= load.images + 3
    assert load.errors == {}
    assert load.p50_ms is not None
    assert load.p50_ms >= 2.0


async def test_an_answer_in_pieces_is_one_answer() -> None:
    async with serving(lambda count: [_OK[:5], _OK[5:40], _OK[40:-1], _OK[-1:]]) as received:
        load = await rest_load.measure(received.url, IMAGES, concurrency=1, seconds=0.2)
    assert load.served == len(received.bodies)
    assert load.errors == {}


async def test_refusals_are_counted_by_status_and_not_as_images() -> None:
    busy = _OK.replace(b"200 OK", b"429 Too Many Requests")
    async with serving(lambda count: [busy if count % 2 else _OK]) as received:
        load = await rest_load.measure(received.url, IMAGES, concurrency=1, seconds=0.2)
    assert load.errors["HTTP 429"] + load.served == len(received.bodies)
    assert abs(load.errors["HTTP 429"] - load.served) <= 1


async def test_a_lost_connection_is_an_error_and_ends_the_run_when_it_was_the_last() -> None:
    async with serving(lambda count: [_OK] if count < 5 else []) as received:
        load = await asyncio.wait_for(rest_load.measure(received.url, IMAGES, concurrency=1, seconds=30.0), 10)
    assert (load.served, load.errors) == (4, {"connection lost": 1})


async def test_an_answer_that_cannot_be_read_is_an_error() -> None:
    async with serving(lambda count: [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]) as received:
        load = await asyncio.wait_for(rest_load.measure(received.url, IMAGES, concurrency=2, seconds=30.0), 10)
    assert load.errors == {"unreadable answer": 2}


async def test_nobody_there_is_said_in_one_sentence() -> None:
    async with serving(lambda count: [_OK]) as received:
        pass
    with pytest.raises(LoadFailed, match="nothing answers on"):
        await rest_load.measure(received.url, IMAGES, concurrency=1, seconds=1.0)


def test_a_head_is_read_whatever_the_case_of_its_names() -> None:
    assert rest_load.read_head(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 17\r\nX: y") == (503, 17)
    assert rest_load.read_head(b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length:0") == (200, 0)
