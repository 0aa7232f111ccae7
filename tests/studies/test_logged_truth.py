"""What the feature log knows of an experiment: labelled answers of its arms, true labels by id, captured images."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.feature_log.made_up import NOON, feedback, places, record, write

from fovea_server.errors import ExperimentsUnavailable
from fovea_server.feature_log import captures
from fovea_server.feature_log.places import Places
from fovea_server.studies.logged_truth import LoggedTruth

_SECOND = 1_000_000


def _met(identity: str, arm: str, experiment: str = "trial", **more: object) -> dict[str, object]:
    return record(identity, experiment=experiment, arm=arm, unit=f"unit-{identity}", **more)


@pytest.fixture
def where(tmp_path: Path) -> Places:
    return places(tmp_path)


def test_answers_of_the_experiment_that_have_a_label_are_told_with_arm_unit_and_slices(where: Places) -> None:
    records = [
        _met("right", "control", slices=[("device", "phone")]),
        _met("wrong", "candidate"),
        _met("unlabelled", "candidate"),
        _met("earlier", "control", moment=NOON - 60 * _SECOND),
        _met("of-another", "control", experiment="other"),
        record("of-none"),
    ]
    given = [feedback(row["id"], "tench") for row in records if row["id"] not in ("wrong", "unlabelled")]
    write(where, records, [*given, feedback("wrong", "goldfish")])
    labelled = LoggedTruth(where).labelled("trial", since=NOON / 1e6 - 1)
    told = {each.unit: (each.arm, each.correct, each.slices) for each in labelled}
    assert told == {
        "unit-right": ("control", True, ("device=phone",)),
        "unit-wrong": ("candidate", False, ()),
    }
    assert all(abs(each.at - NOON / 1e6) < 1e-3 for each in labelled)


def test_the_last_word_of_contradicting_feedback_counts(where: Places) -> None:
    write(
        where,
        [_met("a", "control")],
        [feedback("a", "tench"), feedback("a", "goldfish", moment=NOON + 5 * _SECOND)],
    )
    (labelled,) = LoggedTruth(where).labelled("trial", since=0)
    assert not labelled.correct
    assert LoggedTruth(where).labels(["a", "nobody's"]) == {"a": "goldfish"}
    assert LoggedTruth(where).labels([]) == {}


def test_a_captured_image_is_found_in_the_spool_and_none_where_none_was_captured(where: Places) -> None:
    write(where, [_met("a", "control")])
    captures.Spooled(where.spool, 1000).keep("ab" * 32, b"picture")
    truth = LoggedTruth(where)
    assert truth.image("ab" * 32) == b"picture"
    assert truth.image("cd" * 32) is None


def test_a_log_that_cannot_be_read_is_said_so(where: Places) -> None:
    write(where, [_met("a", "control")])
    day = where.spool.parent / "records/day=2023-11-15"
    day.mkdir(parents=True)
    (day / f"{'0' * 8}-{'0' * 32}.parquet").write_bytes(b"spoilt")
    with pytest.raises(ExperimentsUnavailable, match="the feature log cannot be read: "):
        LoggedTruth(where).labelled("trial", since=0)
