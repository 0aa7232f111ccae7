"""Bodies that are read past the parser arrive as they were sent, in both event loops and over TLS, or go nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
import uvloop
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from tests import certificates
from tests.ports import free_ports

from fovea_server.domain import Priority
from fovea_server.edge import doorkeeper, large_bodies
from fovea_server.edge.doorkeeper import Headers
from fovea_server.edge.http_face import RestFace
from fovea_server.edge.listen import ConnectionLimits, EdgeSettings
from fovea_server.edge.tls import Certificates, TlsSettings
from fovea_server.errors import Busy, FoveaError

_LIMITS = ConnectionLimits(body_seconds=1, dropped_bytes=10e6)
_BODY = np.random.default_rng(1).bytes(7_000_001)


class _Application:
    """Answers with a digest of the body. Where `X-When` says so, `early`, before it is there, or `late`, once somebody
    else said so."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.next_asked = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        when = Request(scope).headers.get("x-when", "")
        said = "early"
        if when != "early":
            try:
                said = hashlib.sha256(await Request(scope, receive).body()).hexdigest()
            except asyncio.CancelledError:
                self.lost.set()
                raise
        if when == "late":
            await asyncio.wait_for(self.next_asked.wait(), 5)
        await PlainTextResponse(said)(scope, receive, send)


class _Caller:
    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        application: _Application,
        connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]],
    ) -> None:
        self.reader, self.writer, self.application, self.connect = reader, writer, application, connect
        self.others: list[_Caller] = []

    def begin(self, length: int, *fields: str) -> None:
        head = ["POST /v1/classify HTTP/1.1", "Host: here", f"Content-Length: {length}", *fields]
        self.writer.write("\r\n".join([*head, "", ""]).encode())

    async def send(self, body: bytes, piece: int) -> None:
        for at in range(0, len(body), piece):
            self.writer.write(body[at : at + piece])
            await self.writer.drain()

    async def answer(self) -> tuple[int, str]:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode().lower().splitlines()
        length = next(int(line.partition(":")[2]) for line in head if line.startswith("content-length"))
        return int(head[0].split()[1]), (await self.reader.readexactly(length)).decode()

    async def another(self) -> _Caller:
        """On a connection of its own, for as long as this one has its."""
        caller = _Caller(*await self.connect(), self.application, self.connect)
        self.others.append(caller)
        return caller

    async def is_answered(self, length: int) -> None:
        """The connection works, for a body of so many bytes."""
        self.begin(length)
        await self.send(_BODY[:length], 1 << 16)
        assert await self.answer() == (200, hashlib.sha256(_BODY[:length]).hexdigest())


_Story = Callable[[_Caller], Awaitable[None]]


@pytest.fixture(params=["uvloop", "asyncio", "uvloop, TLS"])
def told(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[_Story], None]:
    """Runs a story with a caller who is connected to a face."""
    loop, _, secured = request.param.partition(", ")

    async def whole(story: _Story) -> None:
        signed = authority = None
        if secured:
            authority = certificates.authority(tmp_path, "authority")
            signed = certificates.signed(authority, tmp_path, "server")
        async with _caller(signed, authority) as caller:
            await asyncio.wait_for(story(caller), 60)

    return lambda story: (uvloop.run if loop == "uvloop" else asyncio.run)(whole(story))


def _refusal(size: int, priority: Priority, headers: Headers) -> FoveaError | None:
    seconds = doorkeeper.header(headers, b"x-full-for")
    return Busy("full", retry_after=float(seconds)) if seconds else None


@contextlib.asynccontextmanager
async def _caller(signed: certificates.Signed | None, authority: certificates.Signed | None) -> AsyncIterator[_Caller]:
    port, application = free_ports(1)[0], _Application()
    proved = Certificates(TlsSettings(signed.certificate, signed.key)) if signed else None
    face = RestFace(
        application,
        EdgeSettings(rest_port=port, connections=_LIMITS),
        proved,
        refusal=_refusal,
    )
    await face.open()
    try:
        context = ssl.create_default_context(cafile=authority.certificate) if authority else None
        connect = functools.partial(asyncio.open_connection, "127.0.0.1", port, ssl=context)
        caller = _Caller(*await connect(), application, connect)
        try:
            yield caller
        finally:
            for each in (caller, *caller.others):
                each.writer.transport.abort()
    finally:
        await face.close(0)


def test_what_arrives_is_what_was_sent(told: Callable[[_Story], None], monkeypatch: pytest.MonkeyPatch) -> None:
    past_the_parser: list[int] = []

    class Noted(large_bodies._PastTheParser):
        def __init__(self, connection: large_bodies.LargeBodies, missing: int, begun: bytearray) -> None:
            past_the_parser.append(missing)
            super().__init__(connection, missing, begun)

    monkeypatch.setattr(large_bodies, "_PastTheParser", Noted)

    async def story(caller: _Caller) -> None:
        for length, piece in ((65_000, 65_000), (150_000, 1_000), (1_900_000, 700_001), (len(_BODY), len(_BODY))):
            caller.begin(length)
            await caller.send(_BODY[:length], piece)
            assert await caller.answer() == (200, hashlib.sha256(_BODY[:length]).hexdigest())
        await caller.is_answered(3)

    told(story)
    assert len(past_the_parser) == 3  # all but the smallest
    assert min(past_the_parser) >= 65_536


def test_what_is_sent_right_behind_it_is_another_request(told: Callable[[_Story], None]) -> None:
    async def story(caller: _Caller) -> None:
        for length in (1_000_000, 2_000_000):
            caller.begin(length, "X-When: late" if length == 1_000_000 else "X-When: soon")
            await caller.send(_BODY[:length], length)
        caller.application.next_asked.set()
        for length in (1_000_000, 2_000_000):
            assert await caller.answer() == (200, hashlib.sha256(_BODY[:length]).hexdigest())
        await caller.is_answered(3)

    told(story)


def test_what_was_answered_before_it_was_there_goes_nowhere(told: Callable[[_Story], None]) -> None:
    async def story(caller: _Caller) -> None:
        caller.begin(len(_BODY), "X-When: early")
        await caller.send(_BODY[:100_000], 100_000)
        assert await caller.answer() == (200, "early")
        await caller.send(_BODY[100_000:], 1 << 20)
        await caller.is_answered(3)

    told(story)


def test_what_is_refused_goes_nowhere_however_large(told: Callable[[_Story], None]) -> None:
    async def story(caller: _Caller) -> None:
        for length in (300_000, 34_000_000):
            caller.begin(length, "X-Full-For: 0")
            status, problem = await caller.answer()
            assert (status, "BUSY" in problem) == (429, True)
            await caller.send(bytes(length), 1 << 20)
        await caller.is_answered(3)

    told(story)


def test_who_does_not_heed_retry_after_is_kept_waiting_and_not_cut(told: Callable[[_Story], None]) -> None:
    async def story(caller: _Caller) -> None:
        for _ in range(2):
            began = time.monotonic()
            caller.begin(25_000_000, "X-Full-For: 5")
            assert (await caller.answer())[0] == 429
            await caller.send(bytes(25_000_000), 1 << 20)
        await caller.is_answered(3)
        assert time.monotonic() - began > 0.9 * 25e6 / _LIMITS.dropped_bytes > 2 * _LIMITS.body_seconds

    told(story)


def test_who_heeds_retry_after_is_not(told: Callable[[_Story], None], monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    monkeypatch.setattr(large_bodies.LargeBodies, "pace", lambda _, dropped: waits.append(dropped))

    async def story(caller: _Caller) -> None:
        for _ in range(3):
            caller.begin(12_000_000, "X-Full-For: 0")
            assert (await caller.answer())[0] == 429
            await caller.send(bytes(12_000_000), 1 << 20)
        await caller.is_answered(3)
        assert not waits

    told(story)


def test_a_body_that_stops_coming_is_cut_with_a_reason(told: Callable[[_Story], None]) -> None:
    async def story(caller: _Caller) -> None:
        caller.begin(len(_BODY))
        await caller.send(_BODY[:300_000], 100_000)
        status, problem = await caller.answer()
        assert (status, "RECEIVE_TIMEOUT" in problem, "300,000 bytes of the body came" in problem) == (408, True, True)

    told(story)


def test_a_caller_who_goes_away_meanwhile_is_noticed(told: Callable[[_Story], None]) -> None:
    async def story(caller: _Caller) -> None:
        caller.begin(len(_BODY))
        await caller.send(_BODY[:300_000], 100_000)
        await asyncio.sleep(0.1)
        caller.writer.transport.abort()
        await asyncio.wait_for(caller.application.lost.wait(), 5)

    told(story)


def test_neither_what_is_announced_nor_what_was_answered_takes_memory(told: Callable[[_Story], None]) -> None:
    async def story(caller: _Caller) -> None:
        callers = [await caller.another() for _ in range(60)]
        for each in callers:
            await each.is_answered(1_000_000)  # so that the buffers of TLS are as large as they will be
        before = _megabytes()
        for each in callers[:20]:
            each.begin(30_000_000)
            await each.send(bytes(1000), 1000)
        await asyncio.sleep(0.2)
        for each in callers[:20]:
            await each.send(bytes(1000), 1000)  # into what was made ready for the rest
        await asyncio.sleep(0.2)
        assert _megabytes() - before < 40
        for each in callers[20:]:
            await each.is_answered(4_000_000)
        assert _megabytes() - before < 40

    told(story)


def _megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
