from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs
from tests.feature_log.made_up import NOON, feedback, record, write

from fovea_server.feature_log import captures, schema, segments
from fovea_server.feature_log.compaction import alone, compact
from fovea_server.feature_log.lake import Lake
from fovea_server.feature_log.places import Places
from fovea_server.feature_log.reading import Reader
from fovea_server.feature_log.retention import drop_unknown, retain
from fovea_server.feature_log.segments import OpenSegment
from fovea_server.feature_log.settings import FeatureLogSettings

_DAY = 86_400_000_000


def _ids(where: Places) -> list[str]:
    return sorted(Reader(where).query("SELECT id FROM records")["id"].to_pylist())


def test_segments_become_parquet_partitioned_by_day_with_embeddings_in_half_precision(where: Places) -> None:
    write(where, [record("a")], embedding=np.ones(4, "<f2").tobytes())
    write(where, [record("b", NOON + _DAY)], [feedback("a", "tench", NOON + _DAY)])
    done = compact(where, Lake.of(where))
    assert done.rows == {"records": 2, "feedback": 1}
    assert sorted(path.parent.name for path in Path(where.lake, "records").rglob("*.parquet")) == [
        "day=2023-11-15",
        "day=2023-11-16",
    ]
    (file,) = Path(where.lake, "records/day=2023-11-15").glob("*.parquet")
    assert pq.read_schema(file).field("embedding").type == pa.list_(pa.float16())
    assert not segments.all_of(where.segments)
    assert _ids(where) == ["a", "b"]


def test_a_segment_that_is_being_written_is_left_alone_and_read_all_the_same(where: Places) -> None:
    opened = OpenSegment(where.segments, "2023-11-15")
    opened.append(write(where, [record("a")]).read_bytes())
    compact(where, Lake.of(where))
    assert opened.path.exists()
    assert _ids(where) == ["a", "a"]
    opened.close()
    compact(where, Lake.of(where))
    assert not opened.path.exists()
    assert _ids(where) == ["a", "a"]


def test_many_small_files_of_a_day_become_one(where: Places) -> None:
    for number in range(20):
        write(where, [record(f"{number:02}")])
        compact(where, Lake.of(where))
    assert len(Lake.of(where).files("records")) < 16
    assert _ids(where) == [f"{number:02}" for number in range(20)]


class _Killed(Exception):
    pass


def _killed(*_: object) -> None:
    raise _Killed


@pytest.mark.parametrize("step", range(5))
def test_whenever_compaction_is_killed_no_row_is_lost_or_there_twice(
    where: Places, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Killed before each change of the file system that putting two tables into the place of a segment makes."""
    write(where, [record(name) for name in "abc"], [feedback("a", "tench")])
    lake, left = Lake.of(where), step

    def killed_in_time(method: str) -> None:
        original = getattr(Lake, method)

        def instead(self: Lake, *arguments: object) -> None:
            nonlocal left
            if left == 0:
                raise _Killed
            left -= 1
            original(self, *arguments)

        monkeypatch.setattr(Lake, method, instead)

    killed_in_time("write")
    killed_in_time("delete")
    with pytest.raises(_Killed):
        compact(where, lake)
    monkeypatch.undo()
    assert _ids(where) == ["a", "b", "c"]
    assert Reader(where).query("SELECT id FROM feedback").num_rows == 1
    compact(where, lake)
    assert _ids(where) == ["a", "b", "c"]
    assert not segments.all_of(where.segments)
    assert not lake.replacing()


def test_rows_that_are_not_as_the_schema_says_are_refused_with_the_reason(where: Places) -> None:
    write(where, [record("good"), record("bad", image_orientation=9), record("worse", image_sha256="zz")])
    done = compact(where, Lake.of(where))
    assert done.refused == 2
    assert any("image_orientation" in reason for reason in done.reasons)
    assert any("image_sha256" in reason for reason in done.reasons)
    assert _ids(where) == ["good"]


def test_rows_of_other_types_are_refused_and_keep_nobody_from_reading_the_others(where: Places) -> None:
    write(where, [record("a", image_bytes="many"), record("b"), record("c", slices=["x"])])
    assert _ids(where) == ["b"]
    done = compact(where, Lake.of(where))
    assert (done.refused, done.rows["records"]) == (2, 1)
    assert "2 rows with values of another type" in done.reasons[0]
    assert _ids(where) == ["b"]


def test_machines_that_share_a_lake_let_each_others_unfinished_work_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (Places(str(tmp_path / "lake"), tmp_path / name / "spool", tmp_path / name) for name in ("a", "b"))
    write(one, [record("one")], [feedback("one", "tench")])
    write(other, [record("other")])
    with monkeypatch.context() as patch:
        patch.setattr(Lake, "write_table", _killed)
        with pytest.raises(_Killed):
            compact(one, Lake.of(one))  # its note is written, its tables are not
    compact(other, Lake.of(other))
    assert len(Lake.of(one).replacing()) == 1
    compact(one, Lake.of(one))
    assert _ids(one) == _ids(other) == ["one", "other"]
    assert [len(Lake.of(each).own_files("records")) for each in (one, other)] == [1, 1]


def test_only_one_compacts(where: Places) -> None:
    with alone(where, wait=True) as first, alone(where, wait=False) as second:
        assert (first, second) == (True, False)


def test_what_is_older_than_it_may_be_is_deleted(where: Places) -> None:
    lake = Lake.of(where)
    for day in range(5):
        write(where, [record(f"day{day}", NOON + day * _DAY)])
    compact(where, lake)
    now = datetime.fromtimestamp((NOON + 4 * _DAY) / 1e6, timezone.utc)
    assert retain(lake, FeatureLogSettings("x", days=2), now).files == 2
    assert _ids(where) == ["day2", "day3", "day4"]


def test_of_what_is_too_much_the_oldest_is_deleted(where: Places) -> None:
    lake = Lake.of(where)
    for day in range(4):
        write(where, [record(f"day{day}", NOON + day * _DAY)])
    compact(where, lake)
    room = sum(file.size for file in lake.files("records")[-2:])
    done = retain(lake, FeatureLogSettings("x", days=100_000, max_bytes=room))
    assert done.too_much == done.files == 2
    assert _ids(where) == ["day2", "day3"]


def test_captured_images_have_an_age_of_their_own(where: Places) -> None:
    lake = Lake.of(where)
    spooled = captures.Spooled(where.spool, 1 << 20)
    digest = hashlib.sha256(b"picture").hexdigest()
    assert spooled.keep(digest, b"picture")
    assert spooled.keep(digest, b"picture")
    assert compact(where, lake).captured == 1
    assert lake.read(captures.path_of(digest)) == b"picture"
    assert retain(lake, FeatureLogSettings("x", capture_days=1)).images == 0
    assert retain(lake, FeatureLogSettings("x", capture_days=-1)).images == 1
    assert not lake.exists(captures.path_of(digest))


def test_captures_that_nobody_takes_away_are_bounded(where: Places) -> None:
    spooled = captures.Spooled(where.spool, 20)
    assert [spooled.keep(f"{number:064}", b"x" * 8) for number in range(4)] == [True, True, False, False]


def test_feedback_whose_answer_never_came_is_dropped_after_its_grace(where: Places) -> None:
    lake = Lake.of(where)
    write(where, [record("known")], [feedback("known", "tench"), feedback("unknown", "tench")])
    compact(where, lake)
    settings = FeatureLogSettings("x", grace_days=3)
    assert drop_unknown(lake, settings, datetime.fromtimestamp((NOON + 2 * _DAY) / 1e6, timezone.utc)) == 0
    assert drop_unknown(lake, settings, datetime.fromtimestamp((NOON + 5 * _DAY) / 1e6, timezone.utc)) == 1
    assert Reader(where).query("SELECT id FROM feedback").to_pylist() == [{"id": "known"}]


def test_a_lake_on_another_file_system_holds_the_same(where: Places) -> None:
    """pyarrow's own in-memory file system, in the place of an object store."""
    lake = Lake(fs._MockFileSystem(), "bucket/log", "0123abcd")
    write(where, [record("a")], [feedback("a", "tench")])
    assert compact(where, lake).rows == {"records": 1, "feedback": 1}
    assert lake.dataset("records").to_table(["id"]).to_pylist() == [{"id": "a"}]
    assert [field.name for field in lake.dataset("records").schema] == schema.RECORDS.names
