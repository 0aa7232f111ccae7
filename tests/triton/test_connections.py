"""Connections to Triton are kept and used again, also after a request that nobody waits for; what ends is said."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from tests.ports import free_ports
from tests.triton.speaking import reply, speaking

from fovea_server.triton.connections import Answer, Connections, NotConnected, Outcome


def _answer() -> asyncio.Future[Outcome]:
    return asyncio.get_running_loop().create_future()


async def _echo(body: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(body, json_length=2))


async def _asked(connections: Connections, body: bytes) -> Answer | None:
    answer = _answer()
    await connections.post("/v2/models/m/infer", b"{}", body, answer)
    said = await asyncio.wait_for(answer, 5)
    assert said is None or isinstance(said, Answer)
    return said


async def test_one_connection_serves_one_request_after_the_other(tmp_path: Path) -> None:
    async with speaking(tmp_path / "s", _echo) as heard:
        connections = Connections(f"unix:{tmp_path}/s", 64)
        for size in (0, 1000, 300_000):
            said = await _asked(connections, bytes(size))
            assert said is not None
            assert (said.status, said.json_length, said.body) == (200, 2, b"{}" + bytes(size))
        connections.close()
    assert heard.connections == 1
    assert heard.heads[1].startswith(b"POST /v2/models/m/infer HTTP/1.1\r\n")
    assert b"Inference-Header-Content-Length: 2\r\n" in heard.heads[1]


async def test_as_many_are_open_as_requests_are_under_way(tmp_path: Path) -> None:
    async def slowly(body: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        await _echo(body, writer)

    async with speaking(tmp_path / "s", slowly) as heard:
        connections = Connections(f"unix:{tmp_path}/s", 64)
        for _ in range(3):
            bodies = [b"%d" % number for number in range(8)]
            said = await asyncio.gather(*(_asked(connections, body) for body in bodies))
            assert [each and each.body[2:] for each in said] == bodies
        connections.close()
    assert heard.connections == 8


async def test_the_connection_of_who_gave_up_is_used_again_once_it_is_answered_and_not_before(tmp_path: Path) -> None:
    answer_now = asyncio.Event()

    async def on_demand(body: bytes, writer: asyncio.StreamWriter) -> None:
        if body == b"{}late":
            await answer_now.wait()
        await _echo(body, writer)

    async with speaking(tmp_path / "s", on_demand) as heard:
        connections = Connections(f"unix:{tmp_path}/s", 64)
        given_up = _answer()
        await connections.post("/", b"{}", b"late", given_up)
        await asyncio.sleep(0.05)
        given_up.cancel()
        said = await _asked(connections, b"another")
        assert said is not None
        assert said.body == b"{}another"
        assert heard.connections == 2
        answer_now.set()
        await asyncio.sleep(0.05)
        said = await asyncio.gather(_asked(connections, b"a"), _asked(connections, b"b"))
        assert [each and each.body for each in said] == [b"{}a", b"{}b"]
        assert heard.connections == 2
        connections.close()


@pytest.mark.parametrize("last_words", [b"", reply(b"whole")[:-2], b"\x16\x03\x01 what"])
async def test_a_connection_that_ends_before_the_answer_is_none(tmp_path: Path, last_words: bytes) -> None:
    async def break_off(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(last_words)
        writer.close()

    async with speaking(tmp_path / "s", break_off):
        connections = Connections(f"unix:{tmp_path}/s", 64)
        assert await _asked(connections, b"x") is None
        connections.close()


async def test_a_connection_that_was_closed_while_idle_is_not_used(tmp_path: Path) -> None:
    async def once(body: bytes, writer: asyncio.StreamWriter) -> None:
        await _echo(body, writer)
        writer.close()

    async with speaking(tmp_path / "s", once) as heard:
        connections = Connections(f"unix:{tmp_path}/s", 64)
        for _ in range(3):
            assert await _asked(connections, b"x") is not None
            await asyncio.sleep(0.05)
        connections.close()
    assert heard.connections == 3


async def test_one_that_is_ending_is_not_used(tmp_path: Path) -> None:
    async def twice(body: bytes, writer: asyncio.StreamWriter) -> None:
        await _echo(body, writer)
        if body == b"{}first":
            writer.write(b"\x16\x03 what nobody asked for")

    async with speaking(tmp_path / "s", twice) as heard:
        connections = Connections(f"unix:{tmp_path}/s", 64)
        assert await _asked(connections, b"first") is not None
        for _ in range(20):
            assert await _asked(connections, b"more") is not None
        connections.close()
    assert heard.connections == 2


async def test_an_interim_answer_is_not_the_answer(tmp_path: Path) -> None:
    async def hesitate(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(0.02)
        await _echo(body, writer)

    async with speaking(tmp_path / "s", hesitate):
        connections = Connections(f"unix:{tmp_path}/s", 64)
        for body in (b"a", b"b"):
            said = await _asked(connections, body)
            assert said is not None
            assert (said.status, said.body) == (200, b"{}" + body)
        connections.close()


async def test_what_nobody_waits_for_any_more_holds_a_bounded_number_of_connections(tmp_path: Path) -> None:
    async def never(body: bytes, writer: asyncio.StreamWriter) -> None:
        """No answer."""

    async with speaking(tmp_path / "s", never):
        connections = Connections(f"unix:{tmp_path}/s", 64)
        for _ in range(512):
            given_up = _answer()
            await connections.post("/", b"{}", b"", given_up)
            given_up.cancel()
        with pytest.raises(NotConnected, match="all 512 connections"):
            await connections.post("/", b"{}", b"", _answer())
        connections.close()


async def test_nobody_there_is_said_for_a_socket_and_for_a_port(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    for address in (f"unix:{tmp_path}/nobody", f"127.0.0.1:{port}"):
        connections = Connections(address, 64)
        with pytest.raises(NotConnected):
            await connections.post("/", b"{}", b"", _answer())
        assert await connections.get("/", 1) is None


async def test_a_question_without_an_answer_in_time_is_none(tmp_path: Path) -> None:
    async def never(body: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with speaking(tmp_path / "s", never):
        connections = Connections(f"unix:{tmp_path}/s", 64)
        assert await connections.get("/v2/health/live", 0.05) is None
        connections.close()


async def test_who_gives_up_before_there_is_a_connection_waits_no_longer_and_sends_nothing() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):  # it takes one, and answers no other
            connections = Connections(f"127.0.0.1:{port}", 64)
            answer = _answer()
            asyncio.get_running_loop().call_later(0.05, answer.set_result, None)
            await asyncio.wait_for(connections.post("/", b"{}", b"", answer), 2)
            assert answer.done()
            assert await connections.get("/", 0.05) is None
            connections.close()


async def test_a_connection_that_is_there_as_its_caller_leaves_is_the_next_ones(tmp_path: Path) -> None:
    async with speaking(tmp_path / "s", _echo) as heard:
        connections = Connections(f"unix:{tmp_path}/s", 64)
        for _ in range(5):
            asking = asyncio.create_task(connections.post("/", b"{}", b"", _answer()))
            while not connections._all:  # noqa: ASYNC110 (to the very turn of the loop)
                await asyncio.sleep(0)
            asking.cancel()  # connected, and the caller does not know it yet
            with contextlib.suppress(asyncio.CancelledError):
                await asking
            await asyncio.sleep(0.02)
            assert await _asked(connections, b"next")
        connections.close()
    assert heard.connections <= 2
