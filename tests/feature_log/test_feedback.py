from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from tests.feature_log.made_up import LABELS, model, question, tell

from fovea_server.domain import ANYONE
from fovea_server.errors import BadParameter, FeatureLogUnavailable, FoveaError, UnknownLabel, UnknownModel
from fovea_server.feature_log import feedback
from fovea_server.feature_log.feedback import Accepted, Feedback
from fovea_server.feature_log.log import FeatureLog
from fovea_server.feature_log.places import Places
from fovea_server.feature_log.reading import Reader
from fovea_server.feature_log.settings import FeatureLogSettings
from fovea_server.metrics import Metrics

Running = Callable[..., FeatureLog]


def _answer(log: FeatureLog, identity: str, *models: Any) -> None:
    with log.note(question(identity)) as note:
        tell(note, models or [model()])


async def _one(log: FeatureLog, identity: str, label: str | int, of: str | None = None) -> Accepted | FoveaError:
    (outcome,) = await log.feedback.accept([Feedback(identity, label, of)], ANYONE)
    return outcome


def _labels(where: Places) -> list[tuple[Any, ...]]:
    rows = Reader(where).query("SELECT id, label, model FROM feedback ORDER BY received").to_pylist()
    return [tuple(row.values()) for row in rows]


async def test_feedback_is_on_the_disk_when_it_is_accepted(running: Running, where: Places) -> None:
    log = running()
    _answer(log, "a")
    assert await _one(log, "a", "tiger cat") == Accepted("a", matched=True)
    assert _labels(where) == [("a", "tiger cat", None)]


async def test_an_index_is_as_good_as_a_name(running: Running, where: Places) -> None:
    log = running()
    _answer(log, "a")
    assert isinstance(await _one(log, "a", LABELS.index("espresso")), Accepted)
    assert _labels(where) == [("a", "espresso", None)]


async def test_an_id_that_this_process_does_not_know_is_kept_as_pending(running: Running, metrics: Metrics) -> None:
    assert await _one(running(), "elsewhere", "tench") == Accepted("elsewhere", matched=False)
    assert 'fovea_feedback_total{status="pending"} 1.0' in metrics.exposition().decode()


async def test_an_unknown_label_is_refused_and_the_nearest_are_named(running: Running, where: Places) -> None:
    log = running()
    error = await _one(log, "a", "tigercat")
    assert isinstance(error, UnknownLabel)
    assert str(error).startswith("label: cats has no label 'tigercat'; the nearest: tiger cat")
    assert isinstance(await _one(log, "a", 5), UnknownLabel)
    assert isinstance(await _one(log, "a", -1), UnknownLabel)
    assert _labels(where) == []


async def test_a_model_that_is_not_served_is_refused_by_its_field(running: Running) -> None:
    error = await _one(running(), "a", "tench", of="dogs")
    assert isinstance(error, UnknownModel)
    assert str(error) == "model: there is no model 'dogs'; served: cats"


async def test_an_index_that_several_models_would_read_differently_needs_the_model(
    running: Running, where: Places
) -> None:
    dogs = model("dogs", ("poodle", "pug"))
    log = running(model(), dogs)
    assert isinstance(await _one(log, "a", 1), BadParameter)
    assert isinstance(await _one(log, "a", 1, of="dogs"), Accepted)
    _answer(log, "b", dogs)
    assert isinstance(await _one(log, "b", 0), Accepted)  # it is known who answered
    assert _labels(where) == [("a", "pug", "dogs"), ("b", "poodle", None)]


async def test_a_label_is_judged_by_the_model_that_answered(running: Running) -> None:
    dogs = model("dogs", ("poodle", "pug"))
    log = running(model(), dogs)
    _answer(log, "b", dogs)
    assert isinstance(await _one(log, "b", "tench"), UnknownLabel)
    assert isinstance(await _one(log, "elsewhere", "tench"), Accepted)


async def test_a_model_that_only_embeds_takes_any_label(running: Running) -> None:
    log = running(model("vectors", ()))
    assert isinstance(await _one(log, "a", "whatever is true"), Accepted)
    assert isinstance(await _one(log, "a", 3), UnknownLabel)
    assert isinstance(await _one(log, "a", "x" * 201), UnknownLabel)


async def test_of_many_each_is_judged_by_itself_and_a_thousand_bad_ones_take_no_second(running: Running) -> None:
    log = running(model("many", tuple(f"label number {number}" for number in range(1000))))
    given = [Feedback("a", "label numbr 7"), Feedback("a", "label number 7")] * 1000
    began = time.monotonic()
    outcomes = await log.feedback.accept(given, ANYONE)
    assert time.monotonic() - began < 10  # naming the nearest labels of each would take half a minute
    assert [type(each) for each in outcomes] == [UnknownLabel, Accepted] * 1000
    assert sum("nearest" in str(each) for each in outcomes) == 10


async def test_what_a_disk_that_hangs_leaves_waiting_is_bounded(
    where: Places, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback, "_PATIENCE", 0.01)
    log = FeatureLog(where, FeatureLogSettings("x"), metrics, lambda: [model()])  # whose writer never comes
    said = []
    for _ in range(10):
        with pytest.raises(FeatureLogUnavailable) as refused:
            await log.feedback.accept([Feedback("a", "tench")] * 10_000, ANYONE)
        said.append(str(refused.value))
    assert said == ["the disk took longer than 0.01 s"] * 6 + ["60,000 feedbacks wait for the disk already"] * 4
    assert sum(len(given.rows) for given in log._queue._given) == 60_000
    log.start()
    monkeypatch.undo()
    assert isinstance(await _one(log, "b", "tench"), Accepted)  # once the disk is back there is room
    assert _labels(where) == [("b", "tench", None)]
    await log.stop()


async def test_feedback_is_seen_after_the_clock_was_set_back(
    running: Running, where: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, now = running(), time.time_ns
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time_ns", lambda: now() + 10 * 365 * 86_400 * 10**9)
        await _one(log, "a", "tench")
    await _one(log, "b", "goldfish")
    assert _labels(where) == [("b", "goldfish", None)]  # the other one is received in ten years


async def test_no_two_are_received_at_the_same_moment(running: Running, where: Places) -> None:
    log = running()
    await log.feedback.accept([Feedback("a", label) for label in LABELS * 20], ANYONE)
    moments: list[datetime] = Reader(where).query("SELECT received FROM feedback")["received"].to_pylist()
    assert len(set(moments)) == len(moments) == 100
