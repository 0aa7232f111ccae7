"""The supervisor starts, proves, watches and starts again, whatever goes wrong; with scripts in Triton's place."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path

import pytest
from tests.triton.scripts import installation
from tests.waiting import eventually

from fovea_server.errors import CrashLoop, DeadlineExceeded, ModelRefused, NotReady, StartError
from fovea_server.own_processes import OwnProcess
from fovea_server.request.readiness import Readiness
from fovea_server.triton import leftovers
from fovea_server.triton.crash_loop import CrashLoopSettings
from fovea_server.triton.installation import Installation
from fovea_server.triton.process import Instance, TritonProcess, TritonSettings
from fovea_server.triton.pulse import Pulse
from fovea_server.triton.supervisor import Supervisor, SupervisorSettings
from fovea_server.triton.watch import WatchSettings

_QUICK = WatchSettings(look=0.05, silence=0.2, sample=0.1, probe=5.0)


class Tally:
    """What was counted."""

    def __init__(self) -> None:
        self.restarts, self.deaths, self.revivals, self.looping = 0, 0, 0, False

    def triton_restarted(self) -> None:
        self.restarts += 1

    def process_died(self) -> None:
        self.deaths += 1

    def model_revived(self) -> None:
        self.revivals += 1

    def crash_loop(self, looping: bool) -> None:
        self.looping = looping


class Triton:
    """Revives what it is told to, unless it is told not to."""

    def __init__(self) -> None:
        self.pulse = Pulse()
        self.live = True
        self.live_after = 0.0  # seconds
        self.revived: list[str] = []
        self.patience = 0.0  # seconds that the last revival might take
        self.on_revival: Callable[[str], None] = lambda model: None

    async def is_live(self, timeout: float) -> bool:
        await asyncio.sleep(min(self.live_after, timeout))
        return self.live and self.live_after <= timeout

    async def revive(self, name: str, timeout: float) -> None:
        self.patience = timeout
        self.on_revival(name)
        self.revived.append(name)


class Bench:
    """A supervisor over a script, with answers that a test decides."""

    def __init__(self, installation: Installation, repository: Path, watch: WatchSettings) -> None:
        self.readiness = Readiness()
        self.tally = Tally()
        self.triton = Triton()
        self.deaths = 0
        self.verify: Callable[[], Awaitable[None]] = self._fine
        self.supervisor = Supervisor(
            launch=lambda: TritonProcess(installation, [repository], ["ensemble"], TritonSettings(), key=""),
            engine=self.triton,
            answers=self._answers,
            verify=lambda: self.verify(),
            readiness=self.readiness,
            tally=self.tally,
            settings=SupervisorSettings(5.0, watch, CrashLoopSettings(deaths=5, longest_backoff=0.4)),
            on_death=self._died,
        )

    async def _answers(self) -> bool:
        return self.supervisor.pid is not None

    async def _fine(self) -> None:
        return

    def _died(self, lost: Collection[str] | None, reason: str) -> None:
        self.deaths += 1
        self.ready_at_death = self.readiness.is_ready


@contextlib.asynccontextmanager
async def bench(folder: Path, script: str, watch: WatchSettings = _QUICK) -> AsyncIterator[Bench]:
    bench = Bench(installation(folder, script), folder, watch)
    try:
        yield bench
    finally:
        await bench.supervisor.stop()


def _leftovers() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob(f"fovea-triton_{os.getpid()}_*"))


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


async def test_what_runs_is_told_also_while_it_is_started_again(tmp_path: Path) -> None:
    async with bench(tmp_path, "exec sleep 60") as under_test:
        supervisor = under_test.supervisor
        assert supervisor.processes() == []
        await supervisor.start()
        before = supervisor.pid
        assert before
        assert supervisor.processes() == [OwnProcess("tritonserver", "0", before)]
        os.kill(before, signal.SIGKILL)
        end = time.monotonic() + 10
        while supervisor.processes() == [OwnProcess("tritonserver", "0", before)]:  # at every step of the event loop
            await asyncio.sleep(0)
            assert time.monotonic() < end
        assert supervisor.processes() == [OwnProcess("tritonserver", "0", supervisor.pid or 0)]


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
        await eventually(lambda: not under_test.readiness.is_ready, 5)
        await eventually(lambda: under_test.readiness.is_ready, 5)
        assert under_test.tally.restarts == 3
        assert under_test.supervisor.pid != first


async def test_a_triton_that_stops_answering_rightly_is_replaced(tmp_path: Path) -> None:
    async with bench(tmp_path, "exec sleep 60", WatchSettings(look=0.05, probe=0.02)) as under_test:
        await under_test.supervisor.start()
        first = under_test.supervisor.pid
        failures = iter([NotReady("mute"), OSError("the golden image is gone")])

        async def verify() -> None:
            if failure := next(failures, None):
                raise failure

        under_test.verify = verify
        await eventually(lambda: under_test.tally.restarts == 1 and under_test.readiness.is_ready, 5)
        assert under_test.supervisor.pid != first


async def test_what_it_cannot_foresee_does_not_keep_it_from_looking_after_triton(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fovea_server.triton.supervisor._PAUSE", 0.02)
    real, left = TritonProcess.instances_by_pid, [True] * 3

    def no_file(self: TritonProcess) -> dict[int, Instance]:
        if left and under_test.readiness.is_ready:
            left.pop()
            raise OSError(errno.EMFILE, "Too many open files")
        return real(self)

    async with bench(tmp_path, "exec sleep 60") as under_test:
        await under_test.supervisor.start()
        monkeypatch.setattr(TritonProcess, "instances_by_pid", no_file)
        await eventually(lambda: not left, 5)
        first = under_test.supervisor.pid
        assert first is not None
        _kill(first)
        await eventually(lambda: under_test.tally.restarts == 1 and under_test.readiness.is_ready, 5)
        assert under_test.supervisor.pid != first


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


class Processes(dict[int, Instance]):
    """What instances_by_pid says: what runs, by made-up process ids."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *models: str) -> None:
        instances = [Instance(model, "0_0") for model in models]
        super().__init__(enumerate(instances, 1_000_000_000))  # ids that no process has
        monkeypatch.setattr(TritonProcess, "instances_by_pid", lambda _: dict(self))

    def start(self, model: str, number: str = "0_0") -> None:
        self[max(self, default=1_000_000_000) + 1] = Instance(model, number)

    def end(self, model: str) -> None:
        del self[next(pid for pid, runs in self.items() if runs.model == model)]

    def end_all(self, models: Collection[str]) -> None:
        for pid in [pid for pid, runs in self.items() if runs.model in models]:
            del self[pid]


async def test_a_twin_that_lives_on_is_ended_before_its_model_is_revived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Processes(monkeypatch, "whole", "other")
    running.start("whole", "0_1")
    monkeypatch.setattr(TritonProcess, "end_model_processes", lambda _, models: running.end_all(models))
    left: list[set[str]] = []

    def revive(model: str) -> None:
        left.append({instance.model for instance in running.values()})
        running.start(model)
        running.start(model, "0_1")

    async with bench(tmp_path, "exec sleep 60") as under_test:
        under_test.triton.on_revival = revive
        await under_test.supervisor.start()
        await asyncio.sleep(0.05)
        running.end("whole")
        await eventually(lambda: under_test.tally.revivals == 1, 5)
        assert left == [{"other"}]
        await asyncio.sleep(0.2)
        assert under_test.deaths == 1


async def test_a_process_that_dies_while_models_change_is_missed_and_one_that_leaves_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Processes(monkeypatch, "default", "added")
    async with bench(tmp_path, "exec sleep 60") as under_test:
        under_test.triton.on_revival = running.start
        await under_test.supervisor.start()
        await asyncio.sleep(0.1)  # its watch has begun
        with under_test.supervisor.changing_models(leaving=["added"]):
            running.end("added")
            running.start("default")  # loaded again: the old one and the new one
            await asyncio.sleep(0.2)
        running.end("default")
        await asyncio.sleep(0.2)
        assert under_test.deaths == 0
        with under_test.supervisor.changing_models():
            running.end("default")
        await eventually(lambda: under_test.triton.revived == ["default"] and under_test.readiness.is_ready, 5)


async def test_a_dead_process_is_revived_without_a_restart_and_its_calls_end_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Processes(monkeypatch, "preprocess", "network")
    with_it: list[str] = []
    without_it: list[str] = []
    async with bench(tmp_path, "exec sleep 60") as under_test:
        under_test.triton.on_revival = running.start
        await under_test.supervisor.start()
        pulse = under_test.triton.pulse
        with (
            pulse.flight(["preprocess", "network"], with_it.append),
            pulse.flight(["preprocess", "other"], without_it.append),
        ):
            running.end("network")
            await eventually(lambda: under_test.tally.revivals == 1, 5)
        assert with_it == ["a model's process ended (network) while this image was with it"]
        assert without_it == []
        assert (under_test.deaths, under_test.ready_at_death, under_test.tally.restarts) == (1, False, 0)
        assert under_test.readiness.is_ready


async def test_what_was_wrong_before_a_new_start_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = Processes(monkeypatch, "network")
    ended: list[str] = []
    monkeypatch.setattr(TritonProcess, "end_model_processes", lambda _, models: ended.extend(models))

    def without_memory(model: str) -> None:
        running.start(model)
        under_test.triton.pulse.ails({model})
        raise ModelRefused("no memory")

    async with bench(tmp_path, "exec sleep 60") as under_test:
        under_test.triton.on_revival = without_memory
        await under_test.supervisor.start()
        running.end("network")
        await eventually(lambda: under_test.tally.restarts == 1 and under_test.readiness.is_ready, 5)
        await asyncio.sleep(0.2)
        assert (ended, under_test.deaths) == (["network"], 1)  # its twins, before it was to be revived


@pytest.mark.parametrize("problem", [ModelRefused("Triton says no"), ValueError("nobody expected this")])
async def test_what_is_not_revived_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    running = Processes(monkeypatch, "network")

    def refuse(model: str) -> None:
        running.start(model)
        raise problem

    async with bench(tmp_path, "exec sleep 60") as under_test:
        under_test.triton.on_revival = refuse
        await under_test.supervisor.start()
        running.end("network")
        await eventually(lambda: under_test.tally.restarts == 1 and under_test.readiness.is_ready, 5)
        assert under_test.tally.revivals == 0


async def test_silence_while_a_call_waits_and_nothing_computes_is_a_hung_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Processes(monkeypatch, "preprocess", "network", "idle")
    ended: list[str] = []
    monkeypatch.setattr(TritonProcess, "end_model_processes", lambda _, models: ended.extend(sorted(models)))
    async with bench(tmp_path, "exec sleep 60") as under_test:
        await under_test.supervisor.start()
        with under_test.triton.pulse.flight(["preprocess", "network"], lambda why: None):
            await eventually(lambda: under_test.tally.revivals == 1, 5)
        assert under_test.triton.revived == ["network", "preprocess"]
        assert set(ended) == {"network", "preprocess"}
        assert {instance.model for instance in running.values()} == {"preprocess", "network", "idle"}


async def test_a_process_that_an_answer_shows_to_be_beyond_help_is_replaced_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Processes(monkeypatch, "preprocess", "network")
    monkeypatch.setattr(TritonProcess, "end_model_processes", lambda _, models: running.end_all(models))
    async with bench(tmp_path, "exec sleep 60", WatchSettings(look=60)) as under_test:
        under_test.triton.on_revival = running.start
        await under_test.supervisor.start()
        await asyncio.sleep(0.05)
        for times in (1, 2):
            under_test.triton.pulse.ails({"preprocess"})
            await eventually(lambda times=times: under_test.tally.revivals == times, 5)  # type: ignore[misc]
        assert under_test.triton.revived == ["preprocess", "preprocess"]
        assert under_test.triton.pulse.unhealthy == set()


async def test_a_triton_that_is_late_to_say_that_it_lives_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Processes(monkeypatch, "network")
    monkeypatch.setattr(TritonProcess, "end_model_processes", lambda _, models: None)
    async with bench(tmp_path, "exec sleep 60") as under_test:
        await under_test.supervisor.start()
        under_test.triton.live_after = 5 * _QUICK.sample
        with under_test.triton.pulse.flight(["network"], lambda why: None):
            await eventually(lambda: under_test.tally.revivals == 1, 5)
        assert under_test.tally.restarts == 0


async def test_a_revival_may_take_as_long_as_the_start_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = Processes(monkeypatch, "network")
    async with bench(tmp_path, "exec sleep 60") as under_test:
        under_test.triton.on_revival = running.start
        began, takes = time.monotonic(), 0.5

        async def late() -> bool:
            return time.monotonic() > began + takes

        under_test.supervisor._answers = late  # type: ignore[assignment]
        under_test.supervisor._settings = SupervisorSettings(5.0, _QUICK, revival_timeout=takes / 5)
        await under_test.supervisor.start()
        running.end("network")
        await eventually(lambda: under_test.tally.revivals == 1, 5)
        assert under_test.triton.patience > 0.8 * takes


async def test_silence_of_a_busy_process_is_not_a_hang(tmp_path: Path) -> None:
    async with bench(tmp_path, "while :; do :; done", WatchSettings(look=0.05, silence=0.2, sample=0.5)) as under_test:
        await under_test.supervisor.start()
        with under_test.triton.pulse.flight(["network"], lambda why: None):
            await asyncio.sleep(1.5)
        assert (under_test.deaths, under_test.readiness.is_ready) == (0, True)


async def test_a_triton_whose_face_does_not_answer_either_is_replaced(tmp_path: Path) -> None:
    async with bench(tmp_path, "exec sleep 60") as under_test:
        await under_test.supervisor.start()
        under_test.triton.live = False
        why: list[str] = []
        with under_test.triton.pulse.flight(["network"], why.append):
            await eventually(lambda: under_test.tally.restarts == 1, 5)
        assert "tritonserver hangs" in why[0]


async def test_a_probe_that_waits_behind_others_that_are_answered_is_not_a_hang(tmp_path: Path) -> None:
    async with bench(tmp_path, "exec sleep 60", WatchSettings(look=0.05, probe=0.05)) as under_test:
        await under_test.supervisor.start()

        async def too_late() -> None:
            with under_test.triton.pulse.flight(["network"], lambda why: None) as flight:
                under_test.triton.pulse.answered(flight)
            raise DeadlineExceeded("the others were first")

        under_test.verify = too_late
        await asyncio.sleep(0.6)
        assert (under_test.deaths, under_test.readiness.is_ready) == (0, True)


async def test_a_crash_loop_ends_in_a_state_with_the_last_error_and_seldom_tries(tmp_path: Path) -> None:
    async with bench(tmp_path, "exec sleep 60") as under_test:
        await under_test.supervisor.start()

        async def broken() -> None:
            raise NotReady("the model answers nonsense")

        under_test.verify = broken
        _kill(int(under_test.supervisor.pid or 0))
        await eventually(lambda: under_test.tally.looping, 5)
        with pytest.raises(CrashLoop, match=r"5 deaths within 60 s; .*the last: the model answers nonsense") as raised:
            under_test.readiness.check_announced()
        assert raised.value.retry_after == 0.5  # no sooner, though it is tried sooner
        tried = under_test.tally.restarts
        await asyncio.sleep(1.0)
        assert under_test.tally.restarts - tried <= 3
        under_test.verify = under_test._fine
        await eventually(lambda: under_test.readiness.is_ready, 5)
        assert not under_test.tally.looping


async def test_without_room_in_shared_memory_it_is_not_ready_and_says_how_much_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 64 << 20
    monkeypatch.setattr(leftovers, "free_shared_memory", lambda: free)
    async with bench(tmp_path, "exec sleep 60") as under_test:
        await under_test.supervisor.start()
        free = 4096
        await eventually(lambda: not under_test.readiness.is_ready, 5)
        with pytest.raises(NotReady, match="/dev/shm has 4,096 bytes free; the models' processes need 8,388,608"):
            under_test.readiness.check()
        free = 64 << 20
        await eventually(lambda: under_test.readiness.is_ready, 5)
        assert under_test.tally.restarts == 0


async def test_what_died_for_want_of_room_is_revived_once_there_is_some_and_its_calls_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 64 << 20
    monkeypatch.setattr(leftovers, "free_shared_memory", lambda: free)
    running = Processes(monkeypatch, "network")
    async with bench(tmp_path, "exec sleep 60", WatchSettings(look=0.05, silence=30)) as under_test:
        under_test.triton.on_revival = running.start
        await under_test.supervisor.start()
        why: list[str] = []
        with under_test.triton.pulse.flight(["network"], why.append):
            free = 4096
            await eventually(lambda: not under_test.readiness.is_ready, 5)
            running.end("network")
            free = 64 << 20
            await eventually(lambda: under_test.tally.revivals == 1 and under_test.readiness.is_ready, 5)
        assert why == ["a model's process ended (network) while this image was with it"]
        assert (under_test.deaths, under_test.tally.restarts) == (1, 0)


async def test_without_room_in_shared_memory_it_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "free_shared_memory", lambda: 4096)
    async with bench(tmp_path, "exec sleep 60") as under_test:
        with pytest.raises(StartError, match="4,096 bytes free") as raised:
            await under_test.supervisor.start()
        assert "--shm-size" in raised.value.hint
