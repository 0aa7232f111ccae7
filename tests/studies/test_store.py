"""Every change is one transaction, journaled, and never disturbs what runs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.studies.made_up import TWO_ARMS, canary, counted, place, split

from fovea_server.errors import ExperimentRefused, ExperimentsUnavailable, StartError, UnknownExperiment
from fovea_server.studies.database import Database, url_of
from fovea_server.studies.observations import Disagreement, Reading
from fovea_server.studies.readouts import Readouts
from fovea_server.studies.store import DRAFT, PROMOTED, ROLLED_BACK, RUNNING, STOPPED, Change, Store

ME = Change("me", "because")


def test_an_experiment_goes_from_a_draft_to_a_decision_and_back_and_the_journal_tells_who_when_and_why(
    store: Store,
) -> None:
    kept = store.create(split(), Change("ann", "to try it"))
    assert (kept.state, store.pointers()) == (DRAFT, {})
    kept = store.start(kept, Change("ann", "now"))
    assert (kept.state, kept.stage, len(kept.stages_at)) == (RUNNING, 0, 1)
    kept = store.promote(kept, "candidate", Change("bob", "it is better"))
    assert (kept.state, kept.answers_with, store.pointers()) == (PROMOTED, "candidate", {"alpha": "beta"})
    kept = store.roll_back(kept, Change("cid", "it is not"))
    assert (kept.state, kept.answers_with, store.pointers()) == (ROLLED_BACK, "control", {})
    entries = store.journal("trial")
    assert [(entry.who, entry.why) for entry in entries] == [
        ("ann", "to try it"),
        ("ann", "now"),
        ("bob", "it is better"),
        ("cid", "it is not"),
    ]
    assert entries[2].what == "promoted; candidate (beta) answers for alpha"
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)


def test_the_generation_rises_with_every_change_and_with_nothing_else(store: Store) -> None:
    seen = [store.generation()]
    kept = store.create(canary(), ME)
    seen.append(store.generation())
    kept = store.start(kept, ME)
    seen.append(store.generation())
    kept = store.advance(kept, ME)
    seen.append(store.generation())
    assert kept.stage == 1
    store.stop(kept, ME)
    seen.append(store.generation())
    assert seen == [0, 1, 2, 3, 4]
    store.all()
    assert store.generation() == 4


def test_a_draft_may_be_declared_anew_and_one_that_runs_may_not(store: Store) -> None:
    store.create(split(), ME)
    kept = store.create(split(minimum_sample=7), ME)
    kept = store.start(kept, ME)
    with pytest.raises(ExperimentRefused, match="name: trial is running and stays as it is"):
        store.create(split(minimum_sample=8), ME)
    assert store.get("trial") == kept
    assert kept.experiment.minimum_sample == 7


def test_who_changes_what_somebody_else_has_changed_meanwhile_is_refused(store: Store) -> None:
    mine = theirs = store.start(store.create(split(), ME), ME)
    store.stop(theirs, ME)
    with pytest.raises(ExperimentRefused, match="name: trial was changed by somebody else at the same moment"):
        store.promote(mine, "candidate", ME)
    assert store.get("trial").state == STOPPED
    assert store.pointers() == {}


def test_of_two_who_start_experiments_on_one_model_at_once_one_is_refused(store: Store) -> None:
    drafts = [store.create(split(name=name), ME) for name in ("one", "two")]
    refused = []

    def start(index: int) -> None:
        try:
            store.start(drafts[index], ME)
        except ExperimentRefused as error:
            refused.append(str(error))

    threads = [threading.Thread(target=start, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [kept.state for kept in store.all()].count(RUNNING) == 1
    assert len(refused) == 1
    assert refused[0].startswith("model: alpha is in ")


def test_two_experiments_on_two_models_run_side_by_side(store: Store) -> None:
    other = [{**TWO_ARMS[0], "model": "gamma"}, TWO_ARMS[1]]
    for experiment in (split(), split(name="other", model="gamma", arms=other)):
        store.start(store.create(experiment, ME), ME)
    assert [kept.is_running for kept in store.all()] == [True, True]


def test_the_next_experiment_must_begin_with_who_answers_since_the_last(store: Store) -> None:
    store.promote(store.start(store.create(split(), ME), ME), "candidate", ME)
    with pytest.raises(ExperimentRefused, match=r"the control is alpha, but since the experiment trial beta answers"):
        store.start(store.create(split(name="next"), ME), ME)
    arms = [{"name": "control", "model": "beta", "weight": 0.5}, {"name": "new", "model": "gamma", "weight": 0.5}]
    kept = store.start(store.create(split(name="better", arms=arms), ME), ME)
    kept = store.roll_back(kept, ME)
    assert store.pointers() == {"alpha": "beta"}


@pytest.mark.parametrize("act", ["start", "stop", "roll_back"])
def test_what_does_not_go_with_the_state_is_refused_and_says_the_state(store: Store, act: str) -> None:
    kept = store.stop(store.start(store.create(split(), ME), ME), ME)
    with pytest.raises(ExperimentRefused, match="name: trial is stopped"):
        getattr(store, act)(kept, ME)


def test_an_experiment_that_nobody_knows_is_refused_with_those_that_are_known(store: Store) -> None:
    store.create(split(), ME)
    with pytest.raises(UnknownExperiment, match="there is no experiment 'nothing'; there are: trial"):
        store.get("nothing")


def test_what_processes_count_adds_up_and_what_one_says_again_does_not(readouts: Readouts) -> None:
    observations = readouts.observations
    for answered in (3, 5):
        observations.give("one", {place("control"): counted(answered, units=answered)})
    observations.give("two", {place("control"): counted(2, failed=1, units=2), place("candidate"): counted(4, units=4)})
    arms = observations.counted("trial")
    assert (arms[place("control")].answered, arms[place("control")].failed) == (7, 1)
    assert arms[place("control")].latency.count == 7
    assert sorted(observations.units("trial", ["control", "candidate"], 0)) == [[2, 4], [5, 0]]


def test_events_readings_and_disagreements_are_kept_once(readouts: Readouts) -> None:
    observations = readouts.observations
    disagreement = Disagreement("trial", "a1", 5.0, "0" * 64, "cat", "dog")
    reading = Reading(1.0, 0.1, -0.1, 0.3, 10, 20)
    for _ in range(2):
        observations.give("one", {}, ["accepted"], [disagreement])
        observations.add_reading("trial", "candidate", reading)
    assert observations.events() == {"accepted"}
    assert observations.disagreements("trial") == [disagreement]
    assert observations.readings("trial", "candidate") == [reading]


def test_a_database_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    for url in ("mysql://host/db", "nonsense", "postgres://user:hunter2", "mysql://host/db?password=hunter2"):
        with pytest.raises(StartError, match="is not the URL of a SQLite file or a PostgreSQL") as raised:
            url_of(url, tmp_path)
        assert "hunter2" not in str(raised.value)
    assert url_of("", tmp_path) == f"sqlite:///{tmp_path}/experiments.db"


def test_a_postgresql_that_cannot_be_reached_is_said_so_in_one_sentence() -> None:
    pytest.importorskip("psycopg")
    store = Store(Database("postgresql+psycopg://nobody@127.0.0.1:1/none"))
    with pytest.raises(ExperimentsUnavailable, match="the store of experiments does not answer: connection failed"):
        store.all()


def test_a_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "experiments.db").write_bytes(b"no database" * 1000)
    with pytest.raises(ExperimentsUnavailable, match="file is not a database"):
        Store(Database(f"sqlite:///{tmp_path}/experiments.db")).all()


def test_who_reads_does_not_wait_for_who_writes(tmp_path: Path) -> None:
    writing, reading = (Store(Database(url_of("", tmp_path))) for _ in range(2))
    writing.create(split(name="trial"), ME)
    with writing.database.write():
        assert len(reading.all()) == 1  # its first question
    for store in (writing, reading):
        store.database.close()


def test_many_who_come_to_a_new_store_at_once_all_find_it_made(tmp_path: Path) -> None:
    stores = [Store(Database(url_of("", tmp_path))) for _ in range(8)]
    failures = []

    def create(index: int) -> None:
        try:
            stores[index].create(split(name=f"trial{index}"), ME)
        except ExperimentsUnavailable as error:
            failures.append(error)

    threads = [threading.Thread(target=create, args=(index,)) for index in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(stores[0].all()) == len(stores)
    for store in stores:
        store.database.close()
