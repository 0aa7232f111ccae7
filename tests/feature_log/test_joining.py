from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tests.feature_log.made_up import NOON, feedback, places, record, write

from fovea_server.feature_log.compaction import alone, compact
from fovea_server.feature_log.frames import Row
from fovea_server.feature_log.lake import Lake
from fovea_server.feature_log.reading import Reader

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_HOUR = 3_600_000_000


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _brute_force(answer: Row, given: list[Row], as_of: int) -> tuple[str | None, int, bool]:
    """Label, how many, whether they contradict each other: by reading everything, as docs/feature-log.md defines it."""
    if answer["outcome"] != "OK":
        return None, 0, False
    about = [
        each
        for each in given
        if each["id"] == answer["id"] and each.get("model") in (None, answer["model"]) and each["received"] <= as_of
    ]
    if not about:
        return None, 0, False
    last = max(about, key=lambda each: (each["received"], each["label"]))
    return last["label"], len(about), len({each["label"] for each in about}) > 1


def test_the_join_equals_brute_force_on_10_000_random_queries(tmp_path: Path) -> None:
    """A query is one answer at one moment; ids repeat, labels come late, twice, and against each other."""
    rng = random.Random(7)  # noqa: S311 - a test that is the same each time
    where = places(tmp_path)
    ids = [f"id{number}" for number in range(300)]
    records = [
        record(
            rng.choice(ids),
            NOON + rng.randrange(4 * _HOUR),
            model=rng.choice(["cats", "dogs"]),
            outcome=rng.choice(["OK"] * 9 + ["BUSY"]),
            total_ms=float(number),  # tells the rows apart
        )
        for number in range(500)
    ]
    given = [
        feedback(
            rng.choice([*ids, "nobody"]),
            rng.choice(["tench", "goldfish", "espresso"]),
            NOON + rng.randrange(8) * _HOUR + rng.choice([0, 0, rng.randrange(_HOUR)]),  # some at the same moment
            model=rng.choice([None, "cats", "dogs"]),
        )
        for _ in range(900)
    ]
    write(where, records[:250], given[:500])
    with alone(where, wait=True):
        compact(where, Lake.of(where))  # half in files, half in a segment
    write(where, records[250:], given[500:])
    reader = Reader(where)
    compared = 0
    for _ in range(25):
        as_of = NOON + rng.randrange(9 * _HOUR)
        columns = ["total_ms", "label", "labels_given", "contradicted", "labelled", "correct"]
        rows = {row["total_ms"]: row for row in reader.joined(as_of=_moment(as_of), columns=columns).to_pylist()}
        assert len(rows) == sum(row["time"] <= as_of for row in records)
        for answer in rng.sample(records, 400):
            compared += 1
            if answer["time"] > as_of:
                assert answer["total_ms"] not in rows
                continue
            row = rows[answer["total_ms"]]
            expected = _brute_force(answer, given, as_of)
            assert (row["label"], row["labels_given"], row["contradicted"]) == expected
            assert row["correct"] == (None if expected[0] is None else expected[0] == "tench")
    assert compared == 10_000


def test_a_late_label_is_not_known_before_it_came(tmp_path: Path) -> None:
    where = places(tmp_path)
    write(where, [record("a", NOON)])
    write(where, [], [feedback("a", "goldfish", NOON + 48 * _HOUR)])
    reader = Reader(where)
    assert reader.joined(_moment(NOON + 47 * _HOUR), columns=["label"]).to_pylist() == [{"label": None}]
    assert reader.joined(_moment(NOON + 48 * _HOUR), columns=["label"]).to_pylist() == [{"label": "goldfish"}]


def test_the_same_label_again_changes_nothing(tmp_path: Path) -> None:
    where = places(tmp_path)
    write(where, [record("a", NOON)], [feedback("a", "tench", NOON + moment) for moment in (1, 2, 3)])
    columns = ["label", "labels_given", "contradicted", "correct"]
    assert Reader(where).joined(columns=columns).to_pylist() == [
        {"label": "tench", "labels_given": 3, "contradicted": False, "correct": True}
    ]


def test_of_labels_that_contradict_each_other_the_last_as_of_the_moment_counts(tmp_path: Path) -> None:
    where = places(tmp_path)
    write(where, [record("a", NOON)], [feedback("a", "tench", NOON + 1), feedback("a", "goldfish", NOON + 9)])
    reader, columns = Reader(where), ["label", "contradicted"]
    assert reader.joined(_moment(NOON + 5), columns=columns).to_pylist() == [{"label": "tench", "contradicted": False}]
    assert reader.joined(columns=columns).to_pylist() == [{"label": "goldfish", "contradicted": True}]


def test_a_moment_narrows_what_is_read_from_both_ends(tmp_path: Path) -> None:
    where = places(tmp_path)
    write(where, [record(name, NOON + number * _HOUR) for number, name in enumerate("abcd")])
    rows = Reader(where).joined(_moment(NOON + 2 * _HOUR), _moment(NOON + _HOUR), ["id"])
    assert sorted(rows["id"].to_pylist()) == ["b", "c"]


def test_as_of_a_moment_no_table_knows_what_came_later(tmp_path: Path) -> None:
    where = places(tmp_path)
    write(where, [record("a"), record("b", NOON + _HOUR)], [feedback("a", "tench"), feedback("a", "x", NOON + _HOUR)])
    reader = Reader(where)
    for table in ("records", "feedback", "joined"):
        counts = [
            reader.query(f"SELECT count(*) AS n FROM {table}", as_of)["n"][0].as_py()  # noqa: S608
            for as_of in (None, _moment(NOON), _moment(NOON - 1))
        ]
        assert counts == [2, 1, 0]
