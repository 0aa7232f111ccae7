"""Two ends of one socket ask each other, and learn when the other is gone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from fovea_server.workers.channel import Channel, ChannelClosed, Refused


class Pair:
    """Both ends; `release` lets the one that is asked to wait answer."""

    one: Channel
    other: Channel

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.release = asyncio.Event()

    async def double(self, number: int) -> int:
        self.begun.append(number)
        return 2 * number

    async def wait(self, number: int) -> int:
        self.begun.append(number)
        await self.release.wait()
        return number

    async def fail(self) -> None:
        raise ValueError("the port is taken")


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[Pair]:
    pair = Pair()
    left, right = socket.socketpair()
    handlers = {"double": pair.double, "wait": pair.wait, "fail": pair.fail}
    pair.one, pair.other = await Channel.open(left, handlers), await Channel.open(right, handlers)
    yield pair
    pair.one.close()
    pair.other.close()


async def test_both_ends_ask_and_answer_at_once(pair: Pair) -> None:
    asked = (end.ask("double", number=number) for number in range(50) for end in (pair.one, pair.other))
    assert await asyncio.gather(*asked) == [2 * number for number in range(50) for _ in range(2)]


async def test_an_answer_that_takes_long_holds_no_other_up_and_all_begin_in_order(pair: Pair) -> None:
    slow = asyncio.create_task(pair.one.ask("wait", number=1))
    await asyncio.sleep(0)
    assert await pair.one.ask("double", number=2) == 4
    assert not slow.done()
    pair.release.set()
    assert await slow == 1
    assert pair.begun == [1, 2]


async def test_what_goes_wrong_there_is_said_here(pair: Pair) -> None:
    with pytest.raises(Refused, match="ValueError: the port is taken"):
        await pair.one.ask("fail")


async def test_a_line_may_be_as_long_as_the_labels_of_many_models(pair: Pair) -> None:
    text = "x" * 5_000_000
    assert len(await pair.one.ask("double", number=text)) == 10_000_000


async def test_who_waits_for_one_that_goes_is_told(pair: Pair) -> None:
    waiting = asyncio.create_task(pair.one.ask("wait", number=1))
    await asyncio.sleep(0.05)
    pair.other.close()
    with pytest.raises(ChannelClosed):
        await asyncio.wait_for(waiting, 5)
    await asyncio.wait_for(pair.one.closed(), 5)
    with pytest.raises(ChannelClosed):
        await pair.one.ask("double", number=1)
