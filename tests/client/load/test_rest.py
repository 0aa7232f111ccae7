"""The REST generator against a real HTTP server, as small as it can be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from fovea_client.load import Closed, LoadFailed, Open, Photograph, rest

IMAGES = tuple(Photograph(f"{size}.jpg", "image/jpeg", bytes([size]) * size * 1000) for size in (1, 100, 250))
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Received:
    """What the server saw."""

    url: str = ""
    connections: int = 0
    bodies: list[bytes] = field(default_factory=list)
    heads: set[bytes] = field(default_factory=set)


def serving(answer: Callable[[int], list[bytes]]) -> contextlib.AbstractAsyncContextManager[Received]:
    """A server that reads each request whole and writes the pieces of `answer(requests so far)`; none hangs up."""

    async def reply(received: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.002)
        pieces = answer(len(received.bodies))
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        if not pieces:
            writer.close()

    return conversing(reply)


@contextlib.asynccontextmanager
async def conversing(
    reply: Callable[[Received, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[Received]:
    """A server that reads each request whole and leaves the answer to `reply`."""
    received = Received()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
                received.heads.add(head.splitlines()[0])
                received.bodies.append(await reader.readexactly(length))
                await reply(received, writer)
                if writer.is_closing():
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
        load = await rest.measure(received.url, IMAGES, Closed(3), 0.3)
    assert received.connections == 3
    assert received.heads == {b"POST /v1/classify HTTP/1.1"}
    assert set(received.bodies) == {image.encoded for image in IMAGES}
    assert load.served == len(received.bodies)
    assert load.images is not None
    assert 0 < load.images + 3 <= load.served <= load.images + 6  # but for the first of each caller, and the last
    assert load.errors == {}
    assert load.p50_ms is not None
    assert load.p50_ms >= 2.0


async def test_the_prefix_of_a_proxy_is_kept() -> None:
    async with serving(lambda count: [_OK]) as received:
        await rest.measure(f"{received.url}/vision/", IMAGES, Closed(1), 0.1)
    assert received.heads == {b"POST /vision/v1/classify HTTP/1.1"}


def answering(delay: Callable[[int], float]) -> contextlib.AbstractAsyncContextManager[Received]:
    """A server that takes `delay(requests so far)` seconds for each answer."""

    async def reply(received: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(delay(len(received.bodies)))
        writer.write(_OK)

    return conversing(reply)


async def test_a_closed_loop_is_measured_once_there_are_as_many_answers_as_callers() -> None:
    async with answering(lambda count: 0.2 if count <= 2 else 0.002) as received:
        load = await rest.measure(received.url, IMAGES, Closed(2), 0.6)
    assert load.served == len(received.bodies)
    assert load.images is not None
    assert load.seconds <= 0.41
    assert load.images_per_second == pytest.approx(load.images / load.seconds, rel=0.01)
    assert load.p95_ms is not None
    assert load.p95_ms < 100


async def test_where_that_takes_more_than_half_of_the_time_everything_counts() -> None:
    async with answering(lambda count: 0.2 if count <= 2 else 0.002) as received:
        load = await rest.measure(received.url, IMAGES, Closed(2), 0.3)
    assert load.seconds == 0.3
    assert load.served == len(received.bodies)
    assert load.images is not None
    assert load.images >= 2
    assert load.images_per_second == pytest.approx(load.images / 0.3, rel=0.01)


async def test_an_answer_in_pieces_is_one_answer() -> None:
    async with serving(lambda count: [_OK[:5], _OK[5:40], _OK[40:-1], _OK[-1:]]) as received:
        load = await rest.measure(received.url, IMAGES, Closed(1), 0.2)
    assert load.served == len(received.bodies)
    assert load.errors == {}


async def test_refusals_are_counted_by_status_and_not_as_images() -> None:
    busy = _OK.replace(b"200 OK", b"429 Too Many Requests")
    async with serving(lambda count: [busy if count % 2 else _OK]) as received:
        load = await rest.measure(received.url, IMAGES, Closed(1), 0.2)
    assert load.errors["HTTP 429"] + load.served == len(received.bodies)
    assert abs(load.errors["HTTP 429"] - load.served) <= 1


async def test_a_lost_connection_is_an_error_and_ends_the_run_when_it_was_the_last() -> None:
    async with serving(lambda count: [_OK] if count < 5 else []) as received:
        load = await asyncio.wait_for(rest.measure(received.url, IMAGES, Closed(1), 30.0), 10)
    assert (load.served, load.errors) == (4, {"connection lost": 1})


async def test_an_answer_that_cannot_be_read_is_an_error() -> None:
    async with serving(lambda count: [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]) as received:
        load = await asyncio.wait_for(rest.measure(received.url, IMAGES, Closed(2), 30.0), 10)
    assert load.errors == {"unreadable answer": 2}


async def test_nobody_there_is_said_in_one_sentence() -> None:
    async with serving(lambda count: [_OK]) as received:
        pass
    with pytest.raises(LoadFailed, match="nothing answers on"):
        await rest.measure(received.url, IMAGES, Closed(1), 1.0)


@pytest.mark.parametrize(("says", "why"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "wrong version"), (b"", "hung up")])
async def test_a_server_without_tls_is_said_in_one_sentence(says: bytes, why: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(says)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(LoadFailed, match=rf"TLS with 127\.0\.0\.1:{port} failed: .*{why}"):
            await rest.measure(f"https://127.0.0.1:{port}", IMAGES, Closed(1), 1.0)


def test_a_head_is_read_whatever_the_case_of_its_names() -> None:
    assert rest.read_head(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 17\r\nX: y") == (503, 17)
    assert rest.read_head(b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length:0") == (200, 0)


async def test_in_an_open_loop_requests_come_at_their_rate_whatever_the_answers_do() -> None:
    async with serving(lambda count: [_OK]) as received:
        load = await rest.measure(received.url, IMAGES, Open(100.0), 0.5)
    assert (len(received.bodies), load.served, load.rate, load.errors) == (50, 50, 100.0, {})


async def test_a_stall_counts_against_every_request_that_was_due_meanwhile() -> None:
    """One connection, and the first answer takes 0.3 s: a closed loop would have one slow request, here ten are."""

    async def stalling(received: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3 if len(received.bodies) == 1 else 0)
        writer.write(_OK)

    async with conversing(stalling) as received:
        load = await rest.measure(received.url, IMAGES, Open(50.0, connections=1), 0.4)
    assert (load.concurrency, load.served) == (1, 20)
    assert load.p50_ms is not None
    assert load.p50_ms > 50  # most of them were due during the stall


async def test_an_open_loop_opens_connections_as_it_needs_them() -> None:
    async def slow(received: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        writer.write(_OK)

    async with conversing(slow) as received:
        load = await rest.measure(received.url, IMAGES, Open(200.0), 0.4)
    assert load.served == 80
    assert received.connections == load.concurrency
    assert 16 < load.concurrency <= 80


async def test_a_server_that_goes_away_during_an_open_loop_leaves_an_error_for_each_request() -> None:
    async with serving(lambda count: [_OK] if count < 5 else []) as received:
        load = await asyncio.wait_for(rest.measure(received.url, IMAGES, Open(50.0, connections=1), 0.4), 10)
    assert load.served == 4
    assert load.served + sum(load.errors.values()) == 20


@pytest.mark.parametrize("way", [Closed(2), Open(50.0)])
async def test_a_stopped_load_counts_until_then(way: Closed | Open) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.3, stop.set)
    async with serving(lambda count: [_OK]) as received:
        load = await asyncio.wait_for(rest.measure(received.url, IMAGES, way, 30.0, stop=stop), 5)
    assert load.served > 0
    assert 0.2 < load.seconds < 3.0


async def test_a_refusals_reason_is_what_it_is_counted_as() -> None:
    body = b'{"reason": "BUSY", "status": 429}'
    busy = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    async with serving(lambda count: [busy]) as received:
        load = await rest.measure(received.url, IMAGES, Open(50.0), 0.2)
    assert load.errors == {"HTTP 429 BUSY": 10}


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://127.0.0.1:none", "127.0.0.1:8080"])
async def test_what_is_no_address_is_said(url: str) -> None:
    with pytest.raises(LoadFailed, match="address"):
        await rest.measure(url, IMAGES, Closed(1), 1.0)


def test_headers_are_sent_with_each_request() -> None:
    head = rest.post("/", "here:1", "image/png", b"body", {"X-Priority": "batch"}).split(b"\r\n\r\n")[0]
    assert b"X-Priority: batch" in head.splitlines()


async def test_what_was_due_and_never_sent_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "GRACE", 0.5)

    async def silent(received: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1.5)  # until nobody waits any more

    async with conversing(silent) as received:
        load = await rest.measure(received.url, IMAGES, Open(rate=100, connections=4), 0.5)
    assert (load.served, load.errors) == (0, {"no answer in time": 50})


def test_an_address_of_ipv6_is_in_brackets() -> None:
    assert str(rest.Address.of("http://[::1]:8080")) == "[::1]:8080"
    assert b"\r\nHost: [::1]:8080\r\n" in rest.post("/", str(rest.Address.of("http://[::1]:8080")), "image/jpeg", b"")
