"""Who follows a process is woken when it ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from fovea_server.triton.pidfds import Endings

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this system has no pidfds")


def _waiting_process() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)


async def test_the_end_of_a_followed_process_wakes_and_that_of_another_does_not() -> None:
    followed, other = (_waiting_process() for _ in range(2))
    endings = Endings()
    try:
        endings.follow([followed.pid, other.pid])
        endings.follow([followed.pid])
        other.kill()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(endings.ended.wait(), 0.3)
        followed.kill()
        await asyncio.wait_for(endings.ended.wait(), 5)
    finally:
        endings.close()
        for process in (followed, other):
            process.kill()
            process.communicate()


async def test_a_process_that_is_gone_already_is_followed_without_harm() -> None:
    gone = _waiting_process()
    gone.communicate()
    endings = Endings()
    endings.follow([gone.pid])
    endings.close()
    assert not endings.ended.is_set()
