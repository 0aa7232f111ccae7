"""The watch over real processes: how seldom it searches for them, and what it does where a search overlooks one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.triton.scripts import installation
from tests.waiting import eventually

from fovea_server.triton import process
from fovea_server.triton.process import TritonProcess, TritonSettings
from fovea_server.triton.pulse import Pulse
from fovea_server.triton.watch import Watch, WatchSettings


class _Engine:
    def __init__(self) -> None:
        self.pulse = Pulse()

    async def is_live(self, timeout: float) -> bool:
        return True


class _Searches:
    """How many there were, and which process each of the next ones overlooks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.overlooked: list[int] = []
        self._real = process._children
        monkeypatch.setattr(process, "_children", self)

    def __call__(self, pid: int) -> list[int]:
        self.count += 1
        overlooked = self.overlooked.pop() if self.overlooked else 0
        return [child for child in self._real(pid) if child != overlooked]


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> _Searches:
    return _Searches(monkeypatch)


@contextlib.asynccontextmanager
async def _running(folder: Path) -> AsyncIterator[TritonProcess]:
    """A Triton with a process for each of two models."""
    started = ""
    for model in ("preprocess", "network"):
        file = folder / model / "1" / "model.py"
        file.parent.mkdir(parents=True)
        file.write_text("sleep 60; true")
        started += f"sh {file} region 1 1 $$ backend handle {model}_0_0 & "
    triton = TritonProcess(installation(folder, f"{started} wait"), [folder], [], TritonSettings(), key="")
    await triton.start()
    try:
        await eventually(lambda: sorted(each.model for each in triton.instances()) == ["network", "preprocess"], 10)
        yield triton
    finally:
        await triton.clean_up()


def _watch(triton: TritonProcess, search: float) -> Watch:
    async def fine() -> None:
        return

    return Watch(triton, _Engine(), fine, WatchSettings(look=0.02, search=search))


def _pid(triton: TritonProcess, model: str) -> int:
    return next(pid for pid, runs in triton.instances_by_pid().items() if runs.model == model)


async def test_processes_are_searched_for_once_as_long_as_none_ends(tmp_path: Path, searches: _Searches) -> None:
    async with _running(tmp_path) as triton:
        network, watch = _pid(triton, "network"), _watch(triton, search=60)
        searches.count = 0
        trouble = asyncio.create_task(watch.until_trouble())
        await asyncio.sleep(0.5)  # 20 looks
        assert searches.count == 1
        os.kill(network, signal.SIGKILL)
        assert (await asyncio.wait_for(trouble, 5)).lost == {"network"}


async def test_a_process_that_one_search_overlooks_is_not_lost(tmp_path: Path, searches: _Searches) -> None:
    async with _running(tmp_path) as triton:
        preprocess, network, watch = _pid(triton, "preprocess"), _pid(triton, "network"), _watch(triton, search=60)
        trouble = asyncio.create_task(watch.until_trouble())
        await asyncio.sleep(0.1)
        searches.overlooked = [network]
        os.kill(preprocess, signal.SIGKILL)
        assert (await asyncio.wait_for(trouble, 5)).lost == {"preprocess"}
        assert not searches.overlooked


async def test_a_process_that_was_overlooked_after_a_revival_is_found_by_the_next_search(
    tmp_path: Path, searches: _Searches
) -> None:
    async with _running(tmp_path) as triton:
        network, watch = _pid(triton, "network"), _watch(triton, search=0.2)
        searches.overlooked = [network, 0, 0, network]
        watch.revived()
        assert network not in watch._running()
        await eventually(lambda: network in watch._running(), 10)
        os.kill(network, signal.SIGKILL)
        await eventually(lambda: watch.lost() == {"network"}, 10)


async def test_what_triton_calls_unhealthy_may_have_died_by_itself_a_moment_ago(
    tmp_path: Path, searches: _Searches
) -> None:
    async with _running(tmp_path) as triton:
        network, watch = _pid(triton, "network"), _watch(triton, search=60)
        trouble = asyncio.create_task(watch.until_trouble())
        await asyncio.sleep(0.2)
        searches.overlooked = [network]  # it has no memory any more, and no command line
        watch._engine.pulse.ails(["network"])
        assert (await asyncio.wait_for(trouble, 5)).lost == {"network"}
