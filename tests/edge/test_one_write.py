"""An answer goes out in one piece; whatever has no body, or comes in many pieces, goes out whole as well."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import httpx
import pytest
from tests.edge.faces import faces

from fovea_server.edge.one_write import OneWrite


class Wire:
    """A transport that remembers each write."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def out(wire: Wire) -> OneWrite:
    return OneWrite(SimpleNamespace(transport=wire, response_started=True))  # type: ignore[arg-type]


def test_the_head_waits_for_the_body_and_more_of_it_for_nothing(wire: Wire, out: OneWrite) -> None:
    for piece in (b"head ", b"body", b" and", b" more"):
        out.write(piece)
    out.flush()
    assert wire.written == [b"head body", b" and", b" more"]


def test_a_head_without_a_body_goes_out_at_the_end(wire: Wire, out: OneWrite) -> None:
    out.write(b"head")
    assert wire.written == []
    out.close()
    out.flush()
    assert wire.written == [b"head"]
    assert out.is_closing()


def test_what_precedes_an_answer_goes_out_at_once(wire: Wire) -> None:
    cycle = SimpleNamespace(transport=wire, response_started=False)
    out = OneWrite(cycle)  # type: ignore[arg-type]
    out.write(b"continue")
    cycle.response_started = True
    out.write(b"head ")
    out.write(b"body")
    assert wire.written == [b"continue", b"head body"]


async def test_a_real_connection_answers_head_continue_and_long_pages(espresso: bytes) -> None:
    async with faces() as served, httpx.AsyncClient(base_url=served.rest) as client:
        assert (await client.head("/healthz")).status_code == 200
        assert (await client.head("/v1/models")).status_code == 405
        page = await client.get("/static-offline-docs/swagger-ui-bundle.js")
        assert len(page.content) == int(page.headers["content-length"]) > 1_000_000
        reader, writer = await asyncio.open_connection("127.0.0.1", served.rest_port)
        writer.write(
            b"POST /v1/classify HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n"
            % len(espresso)
        )
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(espresso)
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_a_real_answer_is_one_write(espresso: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    transport = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    write = transport.write

    def noting(self: object, data: bytes) -> None:
        written.append(bytes(data))
        write(self, data)

    async with faces() as served, httpx.AsyncClient(base_url=served.rest) as client:
        monkeypatch.setattr(transport, "write", noting)
        answer = await client.post("/v1/classify", content=espresso)
    assert answer.status_code == 200
    assert [each.endswith(answer.content) for each in written if each.startswith(b"HTTP/1.1 200")] == [True]
    assert answer.content not in written
