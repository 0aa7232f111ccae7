"""Whatever goes wrong at the end, every part is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from fovea_server.endings import each_in_turn
from fovea_server.errors import StartError


def _steps(done: list[str], **errors: BaseException) -> list[Callable[[], Awaitable[None]]]:
    """Five, of which those that are named fail."""

    def step(name: str) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            done.append(name)
            await asyncio.sleep(0)
            if name in errors:
                raise errors[name]

        return run

    return [step(name) for name in "abcde"]


async def test_what_fails_keeps_nothing_from_being_stopped_and_the_first_error_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = list[str]()
    with pytest.raises(StartError, match="the port is taken"):
        await each_in_turn(*_steps(done, a=StartError("the port is taken", "use another"), c=OSError("disk full")))
    assert done == list("abcde")
    said = capsys.readouterr()
    assert "disk full" in said.out + said.err


async def test_being_cancelled_keeps_nothing_from_being_stopped_either() -> None:
    done = list[str]()
    ending = asyncio.create_task(each_in_turn(*_steps(done)))
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert done == list("abcde")
