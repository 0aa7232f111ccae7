"""What is wrong with one file, or with one experiment, is said once and stops nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from sqlalchemy import update
from tests.studies.made_up import canary, counted, place, split
from tests.studies.processes import ME, Process, start

from fovea_server.errors import BadExperiment
from fovea_server.studies import tables
from fovea_server.studies.declaration import Experiment
from fovea_server.studies.folder import read_toml
from fovea_server.studies.store import ROLLED_BACK, Store

_GOOD = """
name = "good"
model = "beta"
arms = [{ name = "control", model = "beta", weight = 0.5 }, { name = "candidate", model = "alpha", weight = 0.5 }]
"""


def _text(more: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(_GOOD.replace("good", "odd") + more)


_ODD: dict[str, Callable[[Path], object]] = {
    "a share that no float can be": _text("shadow_share = 1" + "0" * 400),
    "a sample that no float can be": _text("minimum_sample = 1" + "0" * 400),
    "a salt that Python does not write out": _text("salt = 0x1" + "0" * 20_000),
    "a number that Python does not read": _text("shadow_share = 1" + "0" * 5000),
    "lists too deep": _text("salt = " + "[" * 5000),
    "more than anybody declares": _text("# " + "x" * 1_000_000),
    "a model that no database takes": lambda path: path.write_text(_GOOD.replace('"beta"', '"be\\u0000ta"')),
    "no UTF-8": lambda path: path.write_bytes(b"\xff"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "not ours to read": lambda path: path.symlink_to("/proc/self/mem"),
}


@pytest.fixture
def process(url: str, store: Store, tmp_path: Path) -> Iterator[Process]:
    """The one that looks after experiments, over an empty store."""
    (tmp_path / "declarations").mkdir()
    process = Process(url, tmp_path, is_first=True)
    yield process
    process.exchange.stop()
    process.store.database.close()


@pytest.mark.parametrize("kind", _ODD)
def test_an_odd_file_is_said_once_and_the_next_is_read_and_what_was_counted_is_given(
    process: Process, tmp_path: Path, kind: str
) -> None:
    start(process.store, split())
    _ODD[kind](tmp_path / "declarations" / "a-first.toml")
    (tmp_path / "declarations" / "good.toml").write_text(_GOOD)
    with structlog.testing.capture_logs() as said:
        for _ in range(3):
            process.exchange.exchange()
            process.serve(10)
    assert (process.exchange.fault, process.is_up) == (None, 1)
    assert process.store.get("good").name == "good"
    assert sum(counts.answered for counts in process.observations.counted("trial").values()) == 20
    about = [line for line in said if line["event"] == "an experiment's file changes nothing"]
    assert [line["file"] for line in about] == ([] if kind == "a link to nothing" else ["a-first.toml"])


def test_a_file_whose_name_is_no_text_stops_no_other(process: Process, tmp_path: Path) -> None:
    (tmp_path / "declarations" / os.fsdecode(b"a\xff.toml")).symlink_to("good.toml")
    (tmp_path / "declarations" / "good.toml").write_text(_GOOD)
    process.exchange.exchange()
    assert process.exchange.fault is None
    assert process.store.get("good").name == "good"


def test_a_field_that_no_float_can_be_is_refused_by_its_name() -> None:
    table = split().to_mapping()
    for field in ("shadow_share", "minimum_sample"):
        with pytest.raises(BadExperiment, match=f"{field}: it must be a number, not 1000"):
            Experiment.read({**table, field: 10**400})
    with pytest.raises(BadExperiment, match=r"salt: it must be text, not one of kind int"):
        Experiment.read({**table, "salt": 1 << 20_000})
    for field in ("model", "arms.model"):
        arms = [{**arm, "model": "m" * 300} for arm in table["arms"]]
        odd = {"model": "m" * 300} if field == "model" else {"arms": arms}
        with pytest.raises(BadExperiment, match=f"^{field}: 'm+' is not 1 to 255 characters"):
            Experiment.read({**table, **odd})


def test_toml_that_cannot_be_parsed_is_refused_whatever_the_parser_makes_of_it(tmp_path: Path) -> None:
    for text in ("a = 1" + "0" * 5000, "a = " + "[" * 5000, "a ="):
        (tmp_path / "odd.toml").write_text(text)
        with pytest.raises(BadExperiment, match=r"odd\.toml: it cannot be read: "):
            read_toml(tmp_path / "odd.toml")


def test_an_experiment_that_cannot_be_looked_after_is_said_once_and_the_next_is(process: Process) -> None:
    on_beta = {"model": "beta", "arms": [{"name": "control", "model": "beta"}, {"name": "candidate", "model": "alpha"}]}
    start(process.store, canary(name="a-first", **on_beta))
    start(process.store, canary(canary={"steps": [0.5, 1.0]}))
    spoilt = place("candidate")._replace(experiment="a-first")
    process.observations.give("another", {spoilt: counted(9)})
    with process.store.database.write() as connection:
        of_it = tables.counts.c.experiment == "a-first"
        connection.execute(update(tables.counts).where(of_it).values(counted={"of a newer server": 1}))
    with structlog.testing.capture_logs() as said:
        process.exchange.exchange()
        process.serve(200, failing="candidate")
        for _ in range(3):
            process.exchange.exchange()
    assert process.exchange.fault is None
    assert process.store.get("trial").state == ROLLED_BACK
    about = [line["experiment"] for line in said if line["event"] == "an experiment is not looked after"]
    assert about == ["a-first"]


def test_an_experiment_that_cannot_be_read_is_left_out_and_the_others_go_on(process: Process) -> None:
    start(process.store, split())
    process.store.create(split(name="odd", model="beta"), ME)
    with process.store.database.write() as connection:
        odd = tables.experiments.c.name == "odd"
        newer = split(name="odd", model="beta").to_mapping() | {"of_a_newer_server": 1}
        connection.execute(update(tables.experiments).where(odd).values(declaration=newer))
    with structlog.testing.capture_logs() as said:
        process.exchange.exchange()
        assert [kept.name for kept in process.store.all()] == ["trial"]
    assert process.exchange.fault is None
    assert list(process.routing.plan.splits) == ["alpha"]
    assert [line["experiment"] for line in said if line["event"] == "an experiment cannot be read"] == ["odd"]


def test_a_fault_of_ours_is_said_once_and_not_in_each_round(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(process.store, "generation", broken)
    process.store.all()  # the database is there
    with structlog.testing.capture_logs() as said:
        for _ in range(4):
            process.exchange.exchange()
    assert process.is_up == 0
    assert [line["event"] for line in said if line["log_level"] == "error"] == ["experiments"]
