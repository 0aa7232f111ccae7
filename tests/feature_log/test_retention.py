"""What is deleted is what the log has written, and only once it is too old or too much."""

from __future__ import annotations

import math
import os
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
from tests.feature_log.made_up import record, write

from fovea_server.feature_log import captures
from fovea_server.feature_log.compaction import compact
from fovea_server.feature_log.erasure import erase
from fovea_server.feature_log.keeper import Keeper
from fovea_server.feature_log.lake import Lake
from fovea_server.feature_log.places import Places
from fovea_server.feature_log.reading import Reader
from fovea_server.feature_log.retention import drop_unknown, retain
from fovea_server.feature_log.settings import FeatureLogSettings

_OTHERS = (
    "README.md",
    "captures/README",
    "captures/2019/holiday.jpg",
    f"captures/{'a' * 64}",
    f"captures/ab/{'cd' * 32}",
    f"captures/ab/{'ab' * 32}.jpg",
    "records/sales.parquet",
    "records/day=2001-01-01/sales.parquet",
    f"records/{'0' * 8}-{'0' * 32}.parquet",
    "feedback/day=2001-01-01/part-00000.parquet",
    "spool/captures/abc",
    "spool/captures/archive/holiday.jpg",
    "spool/segments/mine.segment",
)


@pytest.mark.parametrize("days", [364_000, 380_000, 1e6, math.inf])
def test_what_is_to_be_kept_for_longer_than_there_are_years_stays(where: Places, days: float) -> None:
    write(where, [record("today", int(time.time() * 1e6))])
    lake = Lake.of(where)
    compact(where, lake)
    lake.write(captures.path_of("ab" * 32), b"picture")
    done = retain(lake, FeatureLogSettings("x", days=days, capture_days=days))
    assert (done.files, done.images, drop_unknown(lake, FeatureLogSettings("x", grace_days=days))) == (0, 0, 0)
    assert Reader(where).query("SELECT id FROM records").num_rows == 1
    assert lake.exists(captures.path_of("ab" * 32))


def test_what_others_have_put_beside_it_is_neither_read_nor_deleted(where: Places) -> None:
    others = [Path(where.lake, name) for name in _OTHERS]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not ours")
        os.utime(path, (0, 0))
    write(where, [record("old", caller="a" * 32)])
    lake = Lake.of(where)
    compact(where, lake)
    lake.write(captures.path_of("ef" * 32), b"picture")
    assert Reader(where).query("SELECT id FROM records").to_pylist() == [{"id": "old"}]
    assert erase(where, "b" * 32).left_open == 0
    done = retain(lake, FeatureLogSettings("x", days=1, capture_days=-1, max_bytes=0))
    assert (done.files, done.images) == (1, 1)
    assert [path for path in others if not path.exists()] == []


def test_a_log_whose_old_files_cannot_be_deleted_is_compacted_all_the_same(
    where: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("fovea_server.feature_log.retention.retain", refuse)
    write(where, [record("a", int(datetime.now(timezone.utc).timestamp() * 1e6))])
    keeper = Keeper(where, FeatureLogSettings(where.lake))
    assert "Permission denied" in keeper.one_pass()["failed"]
    assert keeper.one_pass()["rows"]["records"] == 1
