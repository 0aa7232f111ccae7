"""What is decided reaches every gateway process, what is counted reaches the store, and no fault reaches a caller."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import small_disk
from tests.studies.made_up import canary, split
from tests.studies.processes import ME, Process, start

from fovea_server.studies.observations import Disagreement
from fovea_server.studies.store import ROLLED_BACK, RUNNING, STOPPED


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/experiments.db"


@pytest.fixture
def make(url: str, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def one(is_first: bool = False) -> Process:
        made.append(Process(url, tmp_path, is_first))
        return made[-1]

    yield one
    for process in made:
        process.exchange.stop()
        process.store.database.close()


def _within(seconds: float, seen: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if seen():
            return True
        time.sleep(0.02)
    return seen()


def test_every_process_sees_a_change_within_two_seconds_and_a_rollback_within_one(make: Callable[..., Process]) -> None:
    processes = [make(is_first=True), make(), make()]
    for process in processes:
        process.exchange.start()
    start(processes[0].store, split())
    assert _within(2, lambda: all(process.routing.plan.splits for process in processes))
    arms = [{unit: process.meets("alpha", unit) for unit in "abcdefgh"} for process in processes]
    assert arms[0] == arms[1] == arms[2]
    store = processes[0].store
    store.roll_back(store.get("trial"), ME)
    assert _within(1, lambda: not any(process.routing.plan.splits for process in processes))


def test_where_no_experiment_was_ever_declared_nothing_is_written(make: Callable[..., Process], tmp_path: Path) -> None:
    process = make(is_first=True)
    process.exchange.exchange()
    assert not list(tmp_path.iterdir())
    assert process.is_up == 1


def test_counts_of_all_processes_survive_their_end_and_are_given_once(make: Callable[..., Process]) -> None:
    first, second = make(), make()
    start(first.store, split())
    for process in (first, second, first):
        process.exchange.exchange()
    met = [first.serve(300), second.serve(200, begin=300)]
    for process in (first, second, first):
        process.exchange.exchange()
    second.exchange.stop()
    counted = first.observations.counted("trial")
    for place, counts in counted.items():
        assert counts.answered == counts.units == sum(each[place.arm] for each in met)


def test_while_the_database_is_locked_everybody_is_assigned_as_before_and_the_fault_is_exported(
    make: Callable[..., Process], tmp_path: Path
) -> None:
    process = make(is_first=True)
    start(process.store, split())
    process.exchange.exchange()
    before = process.serve(200)
    lock = sqlite3.connect(tmp_path / "experiments.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    process.exchange.exchange()
    assert process.serve(200) == before
    assert process.is_up == 0
    assert "locked" in (process.exchange.fault or "")
    lock.execute("ROLLBACK")
    lock.close()
    process.exchange.exchange()
    assert (process.is_up, process.exchange.fault) == (1, None)
    assert sum(counts.answered for counts in process.observations.counted("trial").values()) == 400


def test_whatever_goes_wrong_while_it_is_given_nothing_that_was_counted_is_lost(
    make: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = make()
    start(process.store, split())
    process.exchange.exchange()
    process.serve(200)
    missed = Disagreement("trial", "a", 1.0, "", "cat", "dog")
    process.tally.disagreed(missed)
    with monkeypatch.context() as fault:
        fault.setattr(process.observations, "give", lambda *_: json.dumps(float("nan"), allow_nan=False))
        process.exchange.exchange()
    assert "ValueError" in (process.exchange.fault or "")
    process.exchange.exchange()
    assert process.exchange.fault is None
    assert sum(counts.answered for counts in process.observations.counted("trial").values()) == 200
    assert process.observations.disagreements("trial") == [missed]


def test_on_a_full_disk_everybody_is_assigned_as_before_and_what_was_counted_is_given_once_there_is_room(
    tmp_path: Path,
) -> None:
    said = small_disk.said_on(tmp_path, "tests.studies.full_disk")
    assert said["full"]["same"]
    assert "disk" in said["full"]["fault"]
    assert said["full"]["up"] == 0
    assert said["afterwards"] == {"fault": None, "up": 1, "counted": 400}


def test_when_the_database_is_gone_or_spoilt_the_last_known_plan_stays(
    make: Callable[..., Process], tmp_path: Path
) -> None:
    process = make()
    start(process.store, split())
    process.exchange.exchange()
    plan = process.routing.plan
    for name in ("experiments.db", "experiments.db-wal", "experiments.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / name).write_bytes(b"spoilt" * 2000)
    process.store.database.close()
    process.exchange.exchange()
    assert process.routing.plan == plan
    assert process.is_up == 0
    assert process.serve(50).keys() <= {"control", "candidate"}


def test_a_canary_that_fails_is_taken_back_by_itself_and_the_journal_says_why(make: Callable[..., Process]) -> None:
    process = make(is_first=True)
    start(process.store, canary(canary={"steps": [0.5, 1.0]}))
    process.exchange.exchange()
    assert set(process.serve(200, failing="candidate")) == {"control", "candidate"}
    process.exchange.exchange()
    assert process.store.get("trial").state == ROLLED_BACK
    assert set(process.serve(100)) == {""}
    last = process.store.journal("trial")[-1]
    assert last.who == "fovea serve"
    assert "its error rate is +" in last.why


def test_a_canary_that_fails_while_nobody_can_be_told_is_held_back_by_the_process_that_sees_it(
    make: Callable[..., Process], tmp_path: Path
) -> None:
    process = make(is_first=True)
    start(process.store, canary(canary={"steps": [0.5, 1.0]}))
    process.exchange.exchange()
    lock = sqlite3.connect(tmp_path / "experiments.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    process.serve(200, failing="candidate")
    process.exchange.exchange()
    assert set(process.serve(200, begin=200)) == {"control"}
    lock.execute("ROLLBACK")
    lock.close()
    process.exchange.exchange()
    assert process.store.get("trial").state == ROLLED_BACK


def test_a_canary_without_findings_rises_step_by_step_until_its_candidate_answers_everybody(
    make: Callable[..., Process],
) -> None:
    process = make(is_first=True)
    start(process.store, canary(canary={"steps": [0.25, 1.0], "hold_seconds": 0, "hold_requests": 40}))
    process.exchange.exchange()
    shares = []
    for round_ in range(3):
        met = process.serve(400, begin=400 * round_)
        shares.append(met.get("candidate", 0) / 400)
        process.exchange.exchange()
    assert shares[0] == pytest.approx(0.25, abs=0.08)
    assert shares[1] == 1.0
    assert process.routing.plan.pointers == {"alpha": "beta"}
    assert [entry.what for entry in process.store.journal("trial")][-2:] == [
        "the candidate's share is now 100%",
        "promoted; candidate (beta) answers for alpha",
    ]


def test_an_experiment_whose_end_has_come_is_stopped(make: Callable[..., Process]) -> None:
    process = make(is_first=True)
    start(process.store, split(end="2020-01-01"))
    process.exchange.exchange()
    assert process.store.get("trial").state == STOPPED


def test_before_its_start_nobody_meets_it(make: Callable[..., Process]) -> None:
    process = make(is_first=True)
    start(process.store, split(start="2999-01-01"))
    process.exchange.exchange()
    assert process.store.get("trial").state == RUNNING
    assert set(process.serve(50)) == {""}


DECLARED = """
name = "trial"
model = "alpha"
arms = [
    {{ name = "control", model = "alpha", weight = {control} }},
    {{ name = "candidate", model = "beta", weight = 0.5 }},
]
"""


def test_a_file_declares_a_draft_and_a_bad_edit_disturbs_nothing_that_runs(
    make: Callable[..., Process], tmp_path: Path
) -> None:
    process = make(is_first=True)
    folder = tmp_path / "declarations"
    folder.mkdir()
    (folder / "trial.toml").write_text(DECLARED.format(control=0.5))
    process.exchange.exchange()
    kept = process.store.start(process.store.get("trial"), ME)
    process.exchange.exchange()
    met = process.serve(200)
    for control in (0.4, "half", "", 0.5001):
        (folder / "trial.toml").write_text(DECLARED.format(control=control))
        process.exchange.exchange()
        assert process.exchange.fault is None
        assert process.store.get("trial") == kept
        assert process.serve(200) == met
    arms = DECLARED.format(control=0.5) + "minimum_sample = 9\n"
    (folder / "trial.toml").write_text(arms)
    process.exchange.exchange()
    assert process.store.get("trial").experiment == kept.experiment
    assert process.store.journal("trial")[-1].what == "refused to change what is running"
