"""Idle is who wants nothing of a processor, not who gets nothing of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

import psutil
from tests.waiting import eventually

from fovea_server.triton.idleness import are_idle

_SECONDS = 0.5


@contextlib.contextmanager
def _sh(script: str) -> Iterator[int]:
    process = subprocess.Popen(["sh", "-c", script])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


async def test_one_that_sleeps_is_idle_and_so_is_one_that_was_stopped() -> None:
    with _sh("exec sleep 60") as sleeps, _sh("while :; do :; done") as stopped:
        os.kill(stopped, signal.SIGSTOP)
        await eventually(lambda: psutil.Process(stopped).status() == psutil.STATUS_STOPPED, 10)
        await eventually(lambda: psutil.Process(sleeps).status() == psutil.STATUS_SLEEPING, 10)
        assert await are_idle([sleeps, stopped], _SECONDS)


async def test_one_that_computes_is_not() -> None:
    with _sh("exec sleep 60") as sleeps, _sh("while :; do :; done") as computes:
        assert not await are_idle([sleeps, computes], _SECONDS)


async def test_one_that_is_kept_from_the_processor_is_not() -> None:
    (core, *_) = os.sched_getaffinity(0)
    with _sh("while :; do :; done") as busy, _sh("while :; do :; done") as starved:
        os.sched_setaffinity(busy, {core})
        os.sched_setaffinity(starved, {core})
        os.sched_setscheduler(starved, os.SCHED_IDLE, os.sched_param(0))
        for _ in range(3):
            assert not await are_idle([starved], _SECONDS)


async def test_one_that_is_gone_is_idle() -> None:
    with _sh("exit") as gone:
        pass
    assert await are_idle([gone], 0.05)
