"""The supervisor starts, proves, watches and starts again, whatever goes wrong; with scripts in Triton's place."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from fovea_server.errors import NotReady, StartError
from fovea_server.request.readiness import Readiness
from fovea_server.triton import process
from fovea_server.triton import supervisor as supervision
from fovea_server.triton.installation import Installation
from fovea_server.triton.process import TritonProcess, TritonSettings
from fovea_server.triton.supervisor import Supervisor


def _installation(folder: Path, script: str) -> Installation:
    binary = folder / "tritonserver"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o755)
    return Installation(binary, folder, stub=None, libraries=(), config_name="cpu")


class Bench:
    """A supervisor over a script, with answers that a test decides."""

    def __init__(self, installation: Installation, repository: Path) -> None:
        self.readiness = Readiness()
        self.restarts = 0
        self.verify: Callable[[], Awaitable[None]] = self._fine
        self.supervisor = Supervisor(
            launch=lambda: TritonProcess(installation, [repository], ["ensemble"], TritonSettings(), key=""),
            answers=self._answers,
            verify=lambda: self.verify(),
            readiness=self.readiness,
            restarted=self._restarted,
            start_timeout=5.0,
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(500):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("not within 5 s")

    async def _answers(self) -> bool:
        return self.supervisor.pid is not None

    async def _fine(self) -> None:
        return

    def _restarted(self) -> None:
        self.restarts += 1


@contextlib.asynccontextmanager
async def bench(folder: Path, script: str) -> AsyncIterator[Bench]:
    bench = Bench(_installation(folder, script), folder)
    try:
        yield bench
    finally:
        await bench.supervisor.stop()


def _leftovers() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("fovea-triton_*"))


async def test_a_binary_that_cannot_be_run_is_a_start_error_and_leaves_nothing(tmp_path: Path) -> None:
    before = _leftovers()
    async with bench(tmp_path, "exit 0") as under_test:
        (tmp_path / "tritonserver").chmod(0o644)
        with pytest.raises(StartError, match="tritonserver cannot be started"):
            await under_test.supervisor.start()
    assert _leftovers() == before


async def test_what_triton_said_last_is_the_reason_of_a_failed_start(tmp_path: Path) -> None:
    async with bench(tmp_path, "echo 'error: the real reason'; exit 3") as under_test:
        under_test.supervisor._answers = _never  # type: ignore[assignment]
        with pytest.raises(StartError, match="exit code 3: error: the real reason"):
            await under_test.supervisor.start()


async def _never() -> bool:
    return False


async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    before = _leftovers()
    async with bench(tmp_path, "exec sleep 60") as under_test:
        under_test.supervisor._answers = _never  # type: ignore[assignment]
        starting = asyncio.create_task(under_test.supervisor.start())
        await asyncio.sleep(0.05)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert _leftovers() == before


async def test_a_death_is_noticed_and_survived_even_if_the_next_starts_fail_in_unexpected_ways(tmp_path: Path) -> None:
    async with bench(tmp_path, "exec sleep 60") as under_test:
        await under_test.supervisor.start()
        assert under_test.readiness.is_ready
        failures = iter([ValueError("nobody expected this"), NotReady("not yet")])

        async def verify() -> None:
            if failure := next(failures, None):
                raise failure

        under_test.verify = verify
        first = under_test.supervisor.pid
        assert first is not None
        _kill(first)
        await under_test.until(lambda: not under_test.readiness.is_ready)
        await under_test.until(lambda: under_test.readiness.is_ready)
        assert under_test.restarts == 3
        assert under_test.supervisor.pid != first


async def test_a_triton_that_stops_answering_rightly_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "_PROBE", 0.02)
    async with bench(tmp_path, "exec sleep 60") as under_test:
        await under_test.supervisor.start()
        first = under_test.supervisor.pid
        failures = iter([NotReady("mute"), OSError("the golden image is gone")])

        async def verify() -> None:
            if failure := next(failures, None):
                raise failure

        under_test.verify = verify
        await under_test.until(lambda: under_test.restarts == 1 and under_test.readiness.is_ready)
        assert under_test.supervisor.pid != first


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_what_a_killed_gateway_left_is_swept_and_what_a_living_one_uses_is_not() -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    temporary, shared = Path(tempfile.gettempdir()), Path("/dev/shm")
    left = [temporary / f"fovea-triton_{int(dead.stdout)}_x", shared / f"fovea_{int(dead.stdout)}_x"]
    used = [temporary / f"fovea-triton_{os.getpid()}_x", shared / f"fovea_{os.getpid()}_x"]
    try:
        for folder in (left[0], used[0]):
            folder.mkdir()
        for region in (left[1], used[1]):
            region.write_bytes(bytes(10))
        process.sweep()
        assert not any(path.exists() for path in left)
        assert all(path.exists() for path in used)
    finally:
        used[0].rmdir()
        used[1].unlink()


async def test_a_process_that_dies_while_models_change_is_missed_and_one_that_leaves_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Counter({"/r/default/1/model.py": 1, "/r/added/1/model.py": 1})
    monkeypatch.setattr(TritonProcess, "model_processes", lambda _: Counter(running))
    async with bench(tmp_path, "exec sleep 60") as under_test:
        await under_test.supervisor.start()
        await asyncio.sleep(0.05)  # its watch has begun
        with under_test.supervisor.changing_models(leaving=["added"]):
            del running["/r/added/1/model.py"]
            running["/r/default/1/model.py"] += 1  # loaded again: the old one and the new one
        await asyncio.sleep(0.7)
        running["/r/default/1/model.py"] -= 1
        await asyncio.sleep(0.7)
        assert under_test.restarts == 0
        with under_test.supervisor.changing_models():
            running["/r/default/1/model.py"] = 0
        await under_test.until(lambda: under_test.restarts == 1)
