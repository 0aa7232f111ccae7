"""What is too old, or the oldest of what is too much, is deleted; and feedback whose answer never came."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import duckdb

from fovea_server.feature_log import captures, schema
from fovea_server.feature_log.lake import Lake, LakeFile
from fovea_server.feature_log.segments import day_of
from fovea_server.feature_log.settings import FeatureLogSettings


@dataclass
class Retained:
    """What one pass deleted."""

    files: int = 0
    images: int = 0
    unknown_ids: int = 0
    too_much: int = 0  # of the files and images, the oldest, that there was no room for


def retain(lake: Lake, settings: FeatureLogSettings, now: datetime | None = None) -> Retained:
    """By age, then by size; for whoever holds the lock."""
    moment = now or datetime.now(timezone.utc)
    done = Retained()
    rows = [file for kind in schema.BY_KIND for file in lake.files(kind)]
    images = captures.in_lake(lake)
    before = _day(_ago(moment, settings.days))
    since = _ago(moment, settings.capture_days).timestamp()
    old = [file for file in rows if file.day < before] + [image for image in images if image.changed < since]
    gone = {file.path for file in old}
    left = [file for file in [*rows, *images] if file.path not in gone]
    too_much = list(_beyond(left, settings.max_bytes))
    done.too_much = len(too_much)
    for file in [*old, *too_much]:
        if file.kind == captures.FOLDER:
            done.images += 1
        else:
            done.files += 1
    lake.delete(file.path for file in [*old, *too_much])
    return done


def drop_unknown(lake: Lake, settings: FeatureLogSettings, now: datetime | None = None) -> int:
    """Feedback older than the grace period whose answer is not on record; how many rows there were."""
    before = _day(_ago(now or datetime.now(timezone.utc), settings.grace_days))
    dropped = 0
    for file in [file for file in lake.own_files("feedback") if file.day < before]:
        with duckdb.connect(config={"threads": 1}) as connection:
            connection.register("feedback", lake.dataset("feedback", [file]))
            connection.register("records", lake.dataset("records"))
            known = connection.sql("SELECT * FROM feedback SEMI JOIN records USING (id)").to_arrow_table()
        unknown = lake.dataset("feedback", [file]).count_rows() - known.num_rows
        if unknown:
            new = {lake.new_name("feedback", file.day): known.cast(schema.FEEDBACK)} if known.num_rows else {}
            lake.replace([file.path], new)
            dropped += unknown
    return dropped


def _beyond(files: list[LakeFile], most: int) -> Iterator[LakeFile]:
    """The oldest, until the others are no more than `most` bytes."""
    total = sum(file.size for file in files)
    for file in sorted(files, key=lambda file: (file.day or day_of(file.changed), file.changed)):
        if total <= most:
            return
        total -= file.size
        yield file


def _ago(moment: datetime, days: float) -> datetime:
    """So many days earlier; the first moment there is where that is earlier still."""
    try:
        return moment - timedelta(days=days)
    except OverflowError:
        return datetime.min.replace(tzinfo=timezone.utc)


def _day(moment: datetime) -> str:
    """Years have four digits, so that days compare as text does."""
    return moment.date().isoformat()
