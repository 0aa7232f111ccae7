"""While a model's process is revived, balancers are told and those who are here wait."""

from __future__ import annotations

import asyncio

import pytest

from fovea_server.domain import Deadline
from fovea_server.errors import DeadlineExceeded, NotReady
from fovea_server.request.readiness import Readiness


@pytest.fixture
def readiness() -> Readiness:
    readiness = Readiness()
    readiness.ready(1.0)
    return readiness


async def test_who_is_here_waits_and_goes_on_once_it_is_revived(readiness: Readiness) -> None:
    readiness.reviving("a process ended")
    readiness.check()
    with pytest.raises(NotReady, match="a process ended"):
        readiness.check_announced()
    waiting = asyncio.create_task(readiness.settled(Deadline.after(5)))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    readiness.ready()
    await waiting


async def test_who_waits_is_told_when_it_is_not_revived(readiness: Readiness) -> None:
    readiness.reviving("a process ended")
    waiting = asyncio.create_task(readiness.settled(Deadline.after(5)))
    await asyncio.sleep(0.02)
    readiness.not_ready("it could not be revived")
    with pytest.raises(NotReady, match="could not be revived"):
        await waiting


async def test_who_waits_is_not_let_go_by_a_process_that_has_died_again(readiness: Readiness) -> None:
    readiness.reviving("a process ended")
    waiting = asyncio.create_task(readiness.settled(Deadline.after(5)))
    await asyncio.sleep(0.02)
    readiness.ready()
    readiness.reviving("it ended again")
    await asyncio.sleep(0.02)
    assert not waiting.done()
    readiness.ready()
    await waiting


async def test_who_had_its_turn_after_triton_died_is_told_so(readiness: Readiness) -> None:
    readiness.not_ready("tritonserver ended")
    with pytest.raises(NotReady, match="tritonserver ended"):
        await readiness.settled(Deadline.after(5))


async def test_nobody_waits_past_the_deadline(readiness: Readiness) -> None:
    readiness.reviving("a process ended")
    with pytest.raises(DeadlineExceeded, match="was being started again"):
        await readiness.settled(Deadline.after(0.02))
