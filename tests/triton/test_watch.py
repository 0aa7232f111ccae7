"""The watch over real processes: how seldom it searches for them, and what it does where a search overlooks one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.triton.scripts import installation
from tests.waiting import eventually

from fovea_server.triton import process
from fovea_server.triton.process import Instance, TritonProcess, TritonSettings
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
async def _running(folder: Path, *instances: Instance, work: str = "sleep 60; true") -> AsyncIterator[TritonProcess]:
    """A Triton with a process for each instance; by default those of two models."""
    expected = sorted(instances or (Instance("network", "0_0"), Instance("preprocess", "0_0")))
    started = ""
    for model, number in ((each.model, each.number) for each in expected):
        file = folder / model / "1" / "model.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(work)
        started += f"sh {file} region 1 1 $$ backend handle {model}_{number} & "
    triton = TritonProcess(installation(folder, f"{started} wait"), [folder], [], TritonSettings(), key="")
    await triton.start()
    try:
        await eventually(lambda: sorted(triton.instances()) == expected, 10)
        yield triton
    finally:
        await triton.clean_up()


def _watch(triton: TritonProcess, search: float, engine: _Engine | None = None) -> Watch:
    async def fine() -> None:
        return

    settings = WatchSettings(look=0.02, search=search, silence=0.3, sample=0.3)
    return Watch(triton, engine or _Engine(), fine, settings)


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


_TWINS = Instance("whole", "0_0"), Instance("whole", "0_1")


async def test_of_two_processes_of_a_model_one_is_missed(tmp_path: Path) -> None:
    async with _running(tmp_path, *_TWINS) as triton:
        watch = _watch(triton, search=60)
        trouble = asyncio.create_task(watch.until_trouble())
        await asyncio.sleep(0.1)
        os.kill(_pid(triton, "whole"), signal.SIGKILL)
        assert (await asyncio.wait_for(trouble, 5)).lost == {"whole"}


async def test_of_a_model_that_comes_later_both_processes_are_expected(tmp_path: Path) -> None:
    async with _running(tmp_path, *_TWINS, Instance("leaving", "0_0")) as triton:
        watch = _watch(triton, search=60)
        watch._instances = frozenset()
        with watch.changing_models(leaving=["leaving"]):
            pass
        os.kill(_pid(triton, "leaving"), signal.SIGKILL)
        await eventually(lambda: len(triton.instances()) == 2, 10)
        assert watch.lost() == set()
        os.kill(_pid(triton, "whole"), signal.SIGKILL)
        await eventually(lambda: watch.lost() == {"whole"}, 10)


def _at_work(triton: TritonProcess, pid: int, seconds: float) -> None:
    """As that process would say it, had it begun a batch so many seconds ago; 0 at rest."""
    began = time.monotonic_ns() - int(seconds * 1e9) if seconds else 0
    Path(triton._regions, str(pid)).write_bytes(struct.pack("=Q", began))


async def test_one_that_is_at_work_and_computes_nothing_hangs(tmp_path: Path) -> None:
    async with _running(tmp_path, *_TWINS) as triton:
        hung, other = triton.instances_by_pid()
        watch = _watch(triton, search=60)
        trouble = asyncio.create_task(watch.until_trouble())
        _at_work(triton, other, 0)
        _at_work(triton, hung, 0.2)
        said = await asyncio.wait_for(trouble, 5)
        assert said.lost == {"whole"}
        assert "it was at work on one batch for" in said.reason
        await eventually(lambda: not triton.instances(), 5)


async def test_one_that_computes_is_let_compute_but_not_without_end(tmp_path: Path) -> None:
    async with _running(tmp_path, *_TWINS, work="while :; do :; done") as triton:
        busy, other = triton.instances_by_pid()
        engine = _Engine()
        watch = _watch(triton, search=60, engine=engine)
        trouble = asyncio.create_task(watch.until_trouble())
        _at_work(triton, other, 0)
        _at_work(triton, busy, 1)
        with engine.pulse.flight(["whole"], lambda why: None):  # it is with the one that computes
            await asyncio.sleep(0.5)
            with engine.pulse.flight(["whole"], lambda why: None) as later:
                engine.pulse.answered(later)
            await asyncio.sleep(1)
            assert not trouble.done()
        _at_work(triton, busy, 31)
        assert (await asyncio.wait_for(trouble, 5)).lost == {"whole"}


async def test_one_that_never_began_what_it_was_given_hangs(tmp_path: Path) -> None:
    async with _running(tmp_path, *_TWINS) as triton:
        engine = _Engine()
        watch = _watch(triton, search=60, engine=engine)
        for pid in triton.instances_by_pid():
            _at_work(triton, pid, 0)
        trouble = asyncio.create_task(watch.until_trouble())
        with engine.pulse.flight(["whole"], lambda why: None):
            for _ in range(20):
                await asyncio.sleep(0.05)
                with engine.pulse.flight(["whole"], lambda why: None) as later:
                    engine.pulse.answered(later)
            said = await asyncio.wait_for(trouble, 5)
        assert said.lost == {"whole"}
        assert "an image was not answered while one was that came 0.3 s later" in said.reason
