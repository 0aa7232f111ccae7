"""Retries and the budget, against a real server."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest
from tests.client.callers import ask, ask_at
from tests.client.scripted import Answered, HangUp, Raw, Refused, Script, Slow, grpc_server, http_server
from tests.waiting import eventually

from fovea_client import (
    AsyncClient,
    AsyncGrpcClient,
    BadImage,
    Classification,
    Client,
    DeadlineExceeded,
    ServerBusy,
    ServerFailed,
    Unreachable,
)
from fovea_client.attempts import Budget
from fovea_server import errors as served

BUSY = Refused(served.Busy("busy", retry_after=0.05))


@pytest.mark.parametrize("error", [served.Busy, served.NotReady, served.Draining])
def test_a_server_that_cannot_yet_is_asked_again_with_the_same_id(name: str, error: type[served.FoveaError]) -> None:
    script = Script(Refused(error("later", retry_after=0.01)), Refused(error("later")), Answered())
    assert ask(name, script, "classify", b"image").id == script.asked[0].request_id
    assert len(script.asked) == 3
    assert len({asked.request_id for asked in script.asked}) == 1


def test_after_the_last_retry_the_error_is_raised(name: str) -> None:
    script = Script(BUSY)
    with pytest.raises(ServerBusy) as raised:
        ask(name, script, "classify", b"image", retries=2)
    assert len(script.asked) == 3
    assert raised.value.message == str(raised.value) == "busy (try 3; before: BUSY)"


def test_a_bad_image_is_asked_about_once(name: str) -> None:
    script = Script(Refused(served.Undecodable("damaged")))
    with pytest.raises(BadImage):
        ask(name, script, "classify", b"image")
    assert len(script.asked) == 1


def test_the_wait_is_the_one_the_server_names(name: str) -> None:
    script = Script(Refused(served.Busy("busy", retry_after=0.2)), Answered())
    ask(name, script, "classify", b"image")
    first, second = script.asked
    assert 0.2 <= second.at - first.at < 1.0


def test_all_tries_share_one_budget_and_the_server_is_told_what_is_left(name: str) -> None:
    script = Script(Refused(served.Busy("busy", retry_after=0.2)), Answered())
    ask(name, script, "classify", b"image", timeout=5.0)
    first, second = script.asked
    assert 4.0 < first.seconds <= 5.01
    assert second.seconds < first.seconds - 0.15


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_a_timeout_that_is_no_time_is_a_mistake_of_the_callers(name: str, seconds: float) -> None:
    script = Script(Answered())
    with pytest.raises(ValueError, match="it must be more than 0 seconds"):
        ask(name, script, "classify", b"image", timeout=seconds)
    assert not script.asked


def test_a_wait_longer_than_what_is_left_is_not_waited(name: str) -> None:
    script, began = Script(Refused(served.Busy("busy", retry_after=30))), time.monotonic()
    with pytest.raises(ServerBusy) as raised:
        ask(name, script, "classify", b"image", timeout=2.0)
    assert raised.value.retry_after == 30
    assert (len(script.asked), time.monotonic() - began < 1.5) == (1, True)


def test_a_slow_server_is_not_waited_for_nor_asked_again(name: str) -> None:
    script, began = Script(Slow()), time.monotonic()
    with pytest.raises(DeadlineExceeded, match="in time"):
        ask(name, script, "classify", b"image", timeout=0.2)
    assert (len(script.asked), time.monotonic() - began < 1.5) == (1, True)


@pytest.mark.parametrize("rest", ["Client", "AsyncClient"])
def test_a_connection_that_ends_before_an_answer_is_tried_again(rest: str) -> None:
    script = Script(HangUp(), Answered())
    ask(rest, script, "classify", b"image")
    assert len(script.asked) == 2


@pytest.mark.parametrize("rest", ["Client", "AsyncClient"])
def test_an_answer_that_is_not_ours_is_not_asked_for_again(rest: str) -> None:
    script = Script(Raw(503, b"upstream down"))
    with pytest.raises(ServerFailed):
        ask(rest, script, "classify", b"image")
    assert len(script.asked) == 1


def test_a_refused_connection_is_tried_again_until_the_retries_are_spent(name: str, nobody: str) -> None:
    began = time.monotonic()
    with pytest.raises(Unreachable):
        ask_at(name, nobody if "Grpc" in name else f"http://{nobody}", "classify", b"image")
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("rest", ["Client", "AsyncClient"])
def test_an_answer_that_drips_is_not_waited_for(rest: str) -> None:
    began = time.monotonic()
    with Dripping() as url, pytest.raises(DeadlineExceeded):
        ask_at(rest, url, "classify", b"image", timeout=0.3)
    assert time.monotonic() - began < 1.5


def test_the_grpc_port_asked_over_rest_is_not_what_was_looked_for() -> None:
    with grpc_server(Script()) as target, Client(f"http://{target}") as client, pytest.raises(ServerFailed) as raised:
        client.classify(b"image")
    assert raised.value.reason == "NOT_OURS"
    assert "is it a port for gRPC" in raised.value.message


@pytest.mark.parametrize("kind", [AsyncClient, AsyncGrpcClient])
async def test_of_many_tasks_only_so_many_calls_are_under_way(kind: type[AsyncClient | AsyncGrpcClient]) -> None:
    script = Script(Slow(5), Slow(5), Answered())
    server = http_server(script) if kind is AsyncClient else grpc_server(script)
    with server as address:
        async with kind(address, retries=0, at_once=2) as client:
            calls = [asyncio.ensure_future(client.classify(b"image", timeout=8)) for _ in range(6)]
            await eventually(lambda: len(script.asked) == 2, 5)
            with pytest.raises(DeadlineExceeded, match="behind other calls of this client; at_once is 2"):
                await client.classify(b"image", timeout=0.5)
            assert len(script.asked) == 2
            script.over.set()
            said = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(each, Classification) for each in said] == [False, False, True, True, True, True]
    with pytest.raises(ValueError, match="at_once is 0"):
        kind(at_once=0)


class Dripping:
    """A server that begins an answer and then sends a byte every 20 ms, for at most 5 s."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._drip, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._socket.close()
        self._thread.join(5)

    def _drip(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
                for _ in range(250):
                    if self._over.wait(0.02):
                        return
                    connection.sendall(b" ")
            except OSError:
                return


async def test_a_cancellation_that_comes_with_the_answer_is_not_lost() -> None:
    """`asyncio.wait_for` loses it before Python 3.12: whoever cancels once would wait for ever."""
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        async with Budget(30).limit():
            await answer
        await asyncio.sleep(30)

    working = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    answer.set_result(None)
    await asyncio.sleep(0)  # it is answered in this round
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(working, 5)
