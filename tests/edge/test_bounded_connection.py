"""What a connection may cost: slow, odd and idle callers over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.edge.faces import Faces, faces

from fovea_server.edge.bounded_connection import BoundedConnection
from fovea_server.edge.listen import ConnectionLimits

# A sweep comes once a second, and the machine may be busy.
QUICK = ConnectionLimits(max_connections=8, header_seconds=0.5, body_seconds=0.5)
SLACK = 6.0


@pytest.fixture
async def quick() -> AsyncIterator[Faces]:
    async with faces(limits=QUICK) as served:
        yield served


@pytest.fixture
async def usual() -> AsyncIterator[Faces]:
    async with faces() as served:
        yield served


Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def _connected(served: Faces) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.rest_port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader, seconds: float = SLACK) -> tuple[int, dict[str, object]]:
    """The one answer of a connection that then ends."""
    head, _, body = (await asyncio.wait_for(reader.read(), seconds)).partition(b"\r\n\r\n")
    assert b"application/problem+json" in head, head
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)


async def _drip(wire: Wire, text: bytes) -> None:
    with contextlib.suppress(OSError):
        for byte in text:
            wire[1].write(bytes((byte,)))
            await wire[1].drain()
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["first", "kept alive"])
async def test_headers_that_drip_are_cut_with_a_reason(quick: Faces, before: bytes) -> None:
    async with _connected(quick) as wire:
        reader, writer = wire
        if before:
            writer.write(before)
            await reader.readuntil(b'alive"}')
        dripping = asyncio.create_task(_drip(wire, b"GET /healthz HTTP/1.1\r\n" + b"X-A: b\r\n" * 100))
        status, problem = await _answer(reader)
        dripping.cancel()
    assert (status, problem["reason"]) == (408, "RECEIVE_TIMEOUT")
    assert quick.refusals("RECEIVE_TIMEOUT") == 1


async def test_a_body_that_drips_is_cut_with_a_reason(quick: Faces) -> None:
    async with _connected(quick) as wire:
        reader, writer = wire
        writer.write(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nX-Request-Timeout: 60\r\n\r\n")
        dripping = asyncio.create_task(_drip(wire, b"x" * 1000))
        status, problem = await _answer(reader)
        dripping.cancel()
    assert (status, problem["reason"]) == (408, "RECEIVE_TIMEOUT")
    assert "of the body came in 0.5 s" in str(problem["detail"])


async def test_a_refused_body_is_not_read_for_ever(quick: Faces) -> None:
    async with _connected(quick) as (reader, writer):
        writer.write(b"POST /no-such-path HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx")
        said = await asyncio.wait_for(reader.read(), SLACK)
    assert said.startswith(b"HTTP/1.1 404")
    assert said.count(b"HTTP/1.1") == 1


async def test_a_connection_that_says_nothing_is_closed_without_a_word(quick: Faces) -> None:
    """Pools and browsers open some in advance: a word would be taken for the answer to what is asked next."""
    async with _connected(quick) as (reader, _):
        assert await asyncio.wait_for(reader.read(), SLACK) == b""
    assert quick.refusals("RECEIVE_TIMEOUT") == 0


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (b"X-A: " + b"a" * 40_000, "at most 32,768"),
        (b"X-A: " + b"a" * 400_000, "at most 32,768"),
        (b"\r\n".join(b"X-%d: b" % number for number in range(101)), "at most 100"),
    ],
    ids=["long", "endless", "many"],
)
async def test_headers_have_a_limit(usual: Faces, headers: bytes, said: str) -> None:
    async with _connected(usual) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n\r\n")
        status, problem = await _answer(reader)
    assert (status, problem["reason"]) == (431, "HEADERS_TOO_LARGE")
    assert said in str(problem["detail"])


async def test_a_body_beside_short_headers_may_be_as_long_as_it_likes(usual: Faces) -> None:
    async with httpx.AsyncClient(base_url=usual.rest) as client:
        for _ in range(3):
            answer = await client.post("/v1/classify", content=b"%!" + b"x" * 1_000_000)
            assert answer.json()["reason"] == "NOT_AN_IMAGE"


async def test_what_is_not_http_gets_a_typed_answer(usual: Faces) -> None:
    async with _connected(usual) as (reader, writer):
        writer.write(b"\x16\x03\x01 hello\r\n\r\n")
        status, problem = await _answer(reader)
    assert (status, problem["reason"]) == (400, "MALFORMED_REQUEST")


async def test_a_million_tiny_chunks_are_refused_and_cost_no_memory(usual: Faces) -> None:
    tiny = b"1\r\nx\r\n" * 1_000_000
    async with _connected(usual) as (reader, writer):
        tracemalloc.start()
        try:
            writer.write(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(tiny), 60_000):
                writer.write(tiny[start : start + 60_000])
                with contextlib.suppress(ConnectionError):
                    await asyncio.wait_for(writer.drain(), SLACK)
                if reader.at_eof() or writer.is_closing():
                    break
            answer = asyncio.create_task(_answer(reader))
            status, problem = await answer
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (status, problem["reason"]) == (400, "MALFORMED_REQUEST")
    assert "chunks of 1 bytes on average" in str(problem["detail"])
    assert peak < 8 << 20  # this end of the wire included


async def test_many_small_chunks_that_are_an_image_are_put_together(usual: Faces, espresso: bytes) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(espresso), 20):
            yield espresso[start : start + 20]
            await asyncio.sleep(0)

    async with httpx.AsyncClient(base_url=usual.rest, timeout=30) as client:
        answer = await client.post("/v1/classify", content=pieces())
    assert answer.status_code == 200
    assert answer.json()["image"]["bytes"] == len(espresso)


async def test_a_body_over_the_limit_is_refused_before_it_is_all_there(usual: Faces) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(65):
            yield bytes(1 << 20)

    async with httpx.AsyncClient(base_url=usual.rest, timeout=30) as client:
        for content in (endless(), bytes(65 << 20)):
            answer = await client.post("/v1/classify", content=content)
            assert (answer.status_code, answer.json()["reason"]) == (413, "TOO_MANY_BYTES")


async def test_idle_connections_make_room_for_one_that_asks(quick: Faces) -> None:
    async with contextlib.AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(_connected(quick)) for _ in range(3 * QUICK.max_connections)]
        async with httpx.AsyncClient(base_url=quick.rest) as client:
            assert (await client.get("/healthz")).status_code == 200
        first, _ = idle[0]
        assert await asyncio.wait_for(first.read(), SLACK) == b""


async def test_where_every_connection_is_at_work_a_new_one_is_told_to_wait() -> None:
    limits = ConnectionLimits(max_connections=4, body_seconds=20)
    async with faces(limits=limits) as served, contextlib.AsyncExitStack() as stack:
        for _ in range(limits.max_connections):
            _, writer = await stack.enter_async_context(_connected(served))
            writer.write(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        await asyncio.sleep(0.2)
        async with httpx.AsyncClient(base_url=served.rest) as client:
            refused = await client.get("/healthz")
            assert (refused.status_code, refused.json()["reason"]) == (503, "TOO_MANY_CONNECTIONS")
            assert refused.headers["Retry-After"] == "1"
            assert served.refusals("TOO_MANY_CONNECTIONS") == 1
            await stack.aclose()
            await asyncio.sleep(0.2)
            assert (await client.get("/healthz")).status_code == 200


async def test_slow_callers_do_not_slow_the_others(usual: Faces) -> None:
    async with contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(_connected(usual)) for _ in range(200)]
        dripping = [asyncio.create_task(_drip(wire, b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 20)) for wire in slow]
        async with httpx.AsyncClient(base_url=usual.rest, timeout=10) as client:
            began = time.monotonic()
            for _ in range(50):
                assert (await client.get("/healthz")).status_code == 200
            assert time.monotonic() - began < 10
        for task in dripping:
            task.cancel()


async def test_who_never_reads_the_answers_is_cut(quick: Faces) -> None:
    async with _connected(quick) as (reader, writer):
        reader._limit = 1024  # type: ignore[attr-defined]  # read no further than that ahead
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        writer.write(b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 30)
        with pytest.raises(ConnectionError):
            await _sends_on(writer)


async def test_who_never_reads_the_little_that_is_left_is_cut_as_well(
    quick: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = BoundedConnection.connection_made

    def without_pauses(connection: BoundedConnection, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=1 << 30)
        made(connection, transport)

    monkeypatch.setattr(BoundedConnection, "connection_made", without_pauses)
    async with _connected(quick) as (reader, writer):
        reader._limit = 1024  # type: ignore[attr-defined]
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ask = b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n"
        writer.write((ask + b"\r\n") * 8 + ask + b"Connection: close\r\n\r\n")
        with pytest.raises(ConnectionError):
            await _sends_on(writer)


async def _sends_on(writer: asyncio.StreamWriter) -> None:
    """Raises ConnectionError once nobody is there any more to take it."""
    for _ in range(int(SLACK / 0.1)):
        await asyncio.sleep(0.1)
        writer.write(b"\r\n")
        await writer.drain()


async def test_pipelined_requests_are_answered_in_turn(usual: Faces) -> None:
    async with _connected(usual) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        said = b""
        while said.count(b"alive") < 20:
            said += await asyncio.wait_for(reader.read(65536), SLACK)
    assert said.count(b"HTTP/1.1 200") == 20


async def test_a_long_body_does_not_count_as_headers_of_the_request_behind_it(usual: Faces) -> None:
    async with _connected(usual) as (reader, writer):
        writer.write(
            b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n" + b"%" * 40_000 + b"GET /he"
        )
        said = await asyncio.wait_for(reader.readuntil(b'"NOT_AN_IMAGE"'), SLACK)
        assert said.startswith(b"HTTP/1.1 415")
        writer.write(b"althz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await asyncio.wait_for(reader.readuntil(b'alive"}'), SLACK)


async def test_only_so_many_requests_may_be_sent_ahead(usual: Faces) -> None:
    async with _connected(usual) as (reader, writer):
        writer.write(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx" * 1000)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), SLACK)
        assert reader.exception() or reader.at_eof()
    assert usual.refusals("MALFORMED_REQUEST") == 1


async def test_who_never_reads_and_sends_on_is_cut_too(quick: Faces) -> None:
    async with _connected(quick) as (reader, writer):
        reader._limit = 1024  # type: ignore[attr-defined]
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        writer.write(b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 8)
        await asyncio.sleep(0.3)
        for _ in range(8):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(0.02)
        with pytest.raises(ConnectionError):
            await _sends_on(writer)


async def test_a_connection_whose_body_is_refused_makes_room_for_one_that_asks() -> None:
    limits = ConnectionLimits(max_connections=4, body_seconds=20)
    async with faces(limits=limits) as served, contextlib.AsyncExitStack() as stack:
        for _ in range(limits.max_connections):
            reader, writer = await stack.enter_async_context(_connected(served))
            writer.write(b"POST /no-such-path HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
            await asyncio.wait_for(reader.readuntil(b"NOT_FOUND"), SLACK)
        async with httpx.AsyncClient(base_url=served.rest) as client:
            assert (await client.get("/healthz")).status_code == 200


async def test_a_body_that_is_cut_is_counted_once(quick: Faces) -> None:
    async with _connected(quick) as (reader, writer):
        writer.write(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
        assert (await _answer(reader))[0] == 408
    assert (quick.refusals("RECEIVE_TIMEOUT"), quick.refusals("MALFORMED_REQUEST")) == (1, 0)


@pytest.mark.parametrize("line", [b"X-A: b\r\n", b"x"], ids=["many", "long"])
async def test_what_follows_the_last_chunk_has_the_limit_of_headers(usual: Faces, line: bytes) -> None:
    async with _connected(usual) as (reader, writer):
        writer.write(b"POST /no-such-path HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ")
        await asyncio.wait_for(reader.readuntil(b"NOT_FOUND"), SLACK)
        for _ in range(4):
            writer.write(line * (20_000 // len(line)))
            await asyncio.sleep(0.05)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), SLACK)
    assert usual.refusals("HEADERS_TOO_LARGE") == 1


async def test_a_header_that_follows_the_body_is_none(usual: Faces) -> None:
    async with _connected(usual) as (reader, writer):
        writer.write(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"1\r\nx\r\n0\r\nX-Request-ID: behind\r\n\r\n")
        said = await asyncio.wait_for(reader.readuntil(b"}"), SLACK)
    assert b"NOT_AN_IMAGE" in said
    assert b"behind" not in said


async def test_a_body_that_is_cut_off_is_refused_with_the_id_of_its_request(usual: Faces) -> None:
    async with _connected(usual) as (reader, writer):
        head = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head + b"1\r\nx\r\n")
        await asyncio.sleep(0.1)
        writer.write(b"no chunk\r\n")
        status, problem = await _answer(reader)
    assert (status, problem["request_id"]) == (400, "mine")


async def test_a_body_beside_an_upgrade_is_never_read_as_a_request(usual: Faces) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    async with _connected(usual) as (reader, writer):
        writer.write(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 34\r\n" + upgrade + b"\r\n")
        await asyncio.sleep(0.1)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        status, problem = await _answer(reader)
    assert (status, problem["reason"]) == (400, "MALFORMED_REQUEST")
    assert "without the header Upgrade" in str(problem["detail"])


async def test_a_question_with_an_upgrade_is_answered_and_the_next_as_well(usual: Faces) -> None:
    async with _connected(usual) as (reader, writer):
        for upgrade in (b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b""):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + upgrade + b"\r\n")
            assert (await asyncio.wait_for(reader.readuntil(b'alive"}'), SLACK)).startswith(b"HTTP/1.1 200")


async def test_a_tunnel_is_refused_with_a_reason(usual: Faces) -> None:
    async with _connected(usual) as (reader, writer):
        writer.write(b"CONNECT elsewhere:1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await _answer(reader))[0] == 400
