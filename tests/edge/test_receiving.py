"""However many callers leave halves of bodies lying, memory has a bound, and who sends fast is answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from tests.edge.faces import Faces, faces
from tests.waiting import eventually

from fovea_server.edge import receiving
from fovea_server.edge.listen import ConnectionLimits
from fovea_server.edge.receiving import Receiving
from fovea_server.errors import FoveaError

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Body = Callable[[int], bytes]


@pytest.fixture
async def narrow() -> AsyncIterator[Faces]:
    async with faces(limits=ConnectionLimits(received_bytes=1_000_000)) as served:
        yield served


def _announced(count: int) -> bytes:
    return b"Content-Length: 900000\r\n\r\n" + bytes(count)


def _in_chunks(count: int) -> bytes:
    return b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n" % (count, bytes(count))


async def _begin(served: Faces, body: bytes) -> Wire:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.rest_port)
    writer.write(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nX-Request-Timeout: 60\r\n" + body)
    await writer.drain()
    return reader, writer


async def _told(wire: Wire) -> tuple[int, str]:
    head, _, body = (await asyncio.wait_for(wire[0].read(), 10)).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["detail"]


@pytest.mark.parametrize("body", [_announced, _in_chunks])
async def test_the_slowest_has_to_stop_and_others_are_answered(
    narrow: Faces, espresso: bytes, body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "_YOUNG", 0.3)
    slow = await _begin(narrow, body(300_000))
    quick = await _begin(narrow, body(600_000))
    await asyncio.sleep(0.6)
    async with httpx.AsyncClient(base_url=narrow.rest, timeout=10) as client:
        for _ in range(4):  # 320,000 bytes in all, but each is whole at once
            assert (await client.post("/v1/classify", content=espresso)).status_code == 200
        assert narrow.refusals("BUSY") == 0
        another = await _begin(narrow, body(200_000))
        status, said = await _told(slow)
        assert status == 429
        assert said.endswith("of bodies are being received; at most 1,000,000 may")
        assert (await client.post("/v1/classify", content=espresso)).status_code == 200
    assert narrow.refusals("BUSY") == 1
    for _, writer in (slow, quick, another):
        writer.close()


async def test_while_all_are_young_the_last_has_to_stop(narrow: Faces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "_YOUNG", 60.0)
    first = await _begin(narrow, _announced(800_000))
    last = await _begin(narrow, _announced(400_000))
    status, _ = await _told(last)
    assert status == 429
    first[1].write(bytes(100_000))
    assert (await asyncio.wait_for(first[0].read(12), 10)).startswith(b"HTTP/1.1 415")  # it is no image
    for _, writer in (first, last):
        writer.close()


class _Caller:
    def __init__(self, began: float) -> None:
        self.body_began = began
        self.stopped: list[FoveaError] = []
        self.read = True

    def is_read(self) -> bool:
        return self.read

    def stop(self, error: FoveaError) -> None:
        self.stopped.append(error)


def test_as_many_stop_as_it_takes_and_what_is_done_is_forgotten() -> None:
    one, two, three = (_Caller(began) for began in (0.0, 0.0, 10.0))
    room = Receiving(1_000_000)
    assert room.came(one, 300_000, 1.0) is None
    assert room.came(two, 400_000, 1.0) is None
    assert room.came(three, 900_000, 10.0) is None
    assert [len(each.stopped) for each in (one, two, three)] == [1, 1, 0]
    assert room.total == 900_000
    room.done(three)
    room.done(three)
    assert room.total == 0
    error = room.came(three, 1_000_001, 10.1)
    assert error is not None
    assert "1,000,001 bytes" in str(error)
    assert (room.total, three.stopped) == (0, [])


def test_who_holds_next_to_nothing_or_is_kept_waiting_by_us_is_not_stopped() -> None:
    room, small, paused, last = Receiving(1_000_000), [_Caller(0.0) for _ in range(500)], _Caller(0.0), _Caller(50.0)
    paused.read = False
    for each in small:
        room.came(each, 1, 1.0)
    room.came(paused, 600_000, 1.0)
    assert room.came(last, 500_000, 50.0) is not None
    assert not any(each.stopped for each in (*small, paused, last))
    assert room.total == 600_500


async def test_what_is_answered_before_a_body_is_whole_does_not_hide_that_body(narrow: Faces, espresso: bytes) -> None:
    """Two requests on one connection, the second of which has not all come when the first is answered."""
    head = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nX-Request-Timeout: 60\r\nContent-Length: %d\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", narrow.rest_port)
    writer.write(head % len(espresso) + espresso + head % 900_000 + bytes(30_000))
    assert (await asyncio.wait_for(reader.readuntil(b"HTTP/1.1"), 10)) == b"HTTP/1.1"
    await asyncio.sleep(0.3)
    room = narrow.receiving
    assert 0 < room.total <= 30_000
    writer.close()
    await eventually(lambda: room.total == 0, 10)
