"""Callers turned away from their headers, over a real socket and uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from fastapi import FastAPI, Request
from tests.ports import free_ports

from fovea_server.domain import Priority
from fovea_server.edge.doorkeeper import Headers
from fovea_server.edge.http_face import RestFace
from fovea_server.edge.listen import ConnectionLimits, EdgeSettings
from fovea_server.errors import Busy, FoveaError

_BUSY = Busy("7 requests are waiting", retry_after=2.5)


@dataclass
class _Door:
    """Shut or open; remembers what it was asked."""

    shut: bool = True
    once: bool = False  # opens after the first that it turns away
    asked: tuple[int, Priority] | None = None
    answered: int = 0
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, size: int, priority: Priority, headers: Headers) -> FoveaError | None:
        self.asked = size, priority
        self.was_asked.set()
        was_shut, self.shut = self.shut, self.shut and not self.once
        return _BUSY if was_shut else None


@pytest.fixture
def door() -> _Door:
    return _Door()


@pytest.fixture
async def port(door: _Door) -> AsyncIterator[int]:
    """Of a face whose application answers with how many bytes it read, and takes its time where it is told to."""
    app = FastAPI()

    @app.post("/v1/classify")
    async def classify(request: Request) -> int:
        door.answered += 1
        await asyncio.sleep(float(request.headers.get("x-seconds", 0)))
        return len(await request.body())

    rest = free_ports(1)[0]
    face = RestFace(app, EdgeSettings(rest_port=rest, connections=ConnectionLimits(idle_seconds=1)), refusal=door)
    await face.open()
    try:
        yield rest
    finally:
        await face.close(0)


class _Caller:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, body: bytes, *fields: str, method: str = "POST", path: str = "/v1/classify") -> None:
        head = [f"{method} {path} HTTP/1.1", "Host: here", f"Content-Length: {len(body)}", *fields]
        self.writer.write("\r\n".join([*head, "", ""]).encode() + body)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)).decode().splitlines()
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        return int(head[0].split()[1]), fields, await self.reader.readexactly(int(fields["content-length"]))


@contextlib.asynccontextmanager
async def _caller(port: int) -> AsyncIterator[_Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield _Caller(reader, writer)
    finally:
        writer.close()


async def test_a_refusal_is_a_problem_document_that_names_the_request(port: int) -> None:
    async with _caller(port) as caller:
        await caller.ask(b"x" * 300_000, "X-Request-ID: mine")
        status, fields, body = await caller.answer()
    problem = json.loads(body)
    assert (status, fields["content-type"], fields["retry-after"]) == (429, "application/problem+json", "3")
    assert (problem["reason"], problem["request_id"], fields["x-request-id"]) == ("BUSY", "mine", "mine")


async def test_it_comes_before_the_body_and_the_connection_serves_the_next_request(port: int, door: _Door) -> None:
    async with _caller(port) as caller:
        caller.writer.write(b"POST /v1/classify HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\n")
        assert (await caller.answer())[0] == 429
        door.shut = False
        caller.writer.write(b"12345")
        await caller.ask(b"x" * 70_000)
        assert (await caller.answer())[::2] == (200, b"70000")


async def test_requests_sent_in_one_go_are_answered_in_order(port: int, door: _Door) -> None:
    async with _caller(port) as caller:
        for size in (1, 2, 3):
            await caller.ask(b"x" * size)
        assert [(await caller.answer())[0] for _ in range(3)] == [429, 429, 429]


async def test_one_that_came_behind_a_request_that_is_being_answered_waits_its_turn(port: int, door: _Door) -> None:
    door.shut = False
    async with _caller(port) as caller:
        caller.writer.write(b"POST /v1/classify HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\n\r\n12")
        await asyncio.wait_for(door.was_asked.wait(), 5)
        door.shut = True
        caller.writer.write(b"3")
        await caller.ask(b"x" * 7)
        assert (await caller.answer())[::2] == (200, b"3")
        assert (await caller.answer())[0] in (200, 429)


async def test_who_waits_to_be_told_to_go_on_never_sends_the_body(port: int) -> None:
    async with _caller(port) as caller:
        caller.writer.write(
            b"POST /v1/classify HTTP/1.1\r\nHost: here\r\nContent-Length: 9000000\r\nExpect: 100-continue\r\n\r\n"
        )
        status, fields, _ = await caller.answer()
        assert (status, fields["connection"]) == (429, "close")
        assert await caller.reader.read() == b""


async def test_a_caller_that_asks_to_close_is_closed_after_the_body(port: int) -> None:
    async with _caller(port) as caller:
        await caller.ask(b"x" * 100_000, "Connection: close")
        assert (await caller.answer())[1]["connection"] == "close"
        assert await caller.reader.read() == b""


async def test_the_door_is_told_the_bytes_and_the_class(port: int, door: _Door) -> None:
    async with _caller(port) as caller:
        await caller.ask(b"x" * 12, "X-Priority: batch")
        await caller.answer()
    assert door.asked == (12, Priority.BATCH)


@pytest.mark.parametrize("odd", ["X-Priority: soon", "Transfer-Encoding: chunked"])
async def test_what_is_not_understood_is_left_to_the_application(port: int, door: _Door, odd: str) -> None:
    async with _caller(port) as caller:
        if odd.startswith("Transfer"):
            caller.writer.write(f"POST /v1/classify HTTP/1.1\r\nHost: here\r\n{odd}\r\n\r\n0\r\n\r\n".encode())
        else:
            await caller.ask(b"123", odd)
        assert (await caller.answer())[0] == 200
    assert door.asked is None


async def test_other_paths_and_methods_are_never_turned_away(port: int, door: _Door) -> None:
    async with _caller(port) as caller:
        await caller.ask(b"", method="GET", path="/v1/classify")
        assert (await caller.answer())[0] == 405
        for path in ("/elsewhere", "/v1/classify-nothing"):
            await caller.ask(b"", path=path)
            assert (await caller.answer())[0] == 404
    assert door.asked is None


async def test_who_does_not_wait_to_be_told_to_go_on_hears_the_refusal_too(port: int) -> None:
    async with _caller(port) as caller:
        caller.writer.write(
            b"POST /v1/classify HTTP/1.1\r\nHost: here\r\nContent-Length: 9000000\r\nExpect: 100-continue\r\n\r\n"
        )
        for _ in range(20):
            caller.writer.write(bytes(100_000))
        await asyncio.sleep(0.1)
        assert (await caller.answer())[0] == 429


@pytest.mark.parametrize("last", ["Connection: close", "Expect: 100-continue"])
async def test_what_comes_behind_the_last_request_is_not_worked_on(port: int, door: _Door, last: str) -> None:
    door.once = True
    async with _caller(port) as caller:
        await caller.ask(b"123", last)
        await caller.ask(b"1234")
        assert (await caller.answer())[0] == 429
        assert await caller.reader.read() == b""
    assert door.answered == 0


async def test_a_long_answer_behind_a_refusal_is_waited_for(port: int, door: _Door) -> None:
    door.once = True
    async with _caller(port) as caller:
        await caller.ask(b"123")
        await caller.ask(b"1234", "X-Seconds: 1.5")
        assert [(await caller.answer())[0] for _ in range(2)] == [429, 200]


@pytest.mark.parametrize("behind", [b"GET / HTTP/1.1\r\n\r\n", b"\0 no HTTP"], ids=["a request", "anything"])
async def test_nothing_is_said_to_what_comes_instead_of_the_body(
    port: int, behind: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with _caller(port) as caller:
        await caller.ask(b"", "Expect: 100-continue")
        caller.writer.write(behind)
        assert (await caller.answer())[0] == 429
        caller.writer.write(behind)
        assert await caller.reader.read() == b""
        await asyncio.sleep(0.1)
    assert caplog.messages == []
