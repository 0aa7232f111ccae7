"""From segments to Parquet files, and from many small files to few: whoever holds the lock does it, nobody waits."""

from __future__ import annotations

import fcntl
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from fovea_server.feature_log import captures, schema, segments, tables
from fovea_server.feature_log.lake import Lake
from fovea_server.feature_log.places import Places
from fovea_server.feature_log.segments import Segment
from fovea_server.feature_log.validation import validate

_AT_ONCE = 64 << 20  # bytes of segments that become one file
_SMALL, _MANY = 16 << 20, 16  # this many files of a day below this size become one


@dataclass
class Compacted:
    """What one pass did."""

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(schema.BY_KIND, 0))
    refused: int = 0
    reasons: list[str] = field(default_factory=list)
    torn_bytes: int = 0
    merged: int = 0
    captured: int = 0


@contextmanager
def alone(places: Places, *, wait: bool) -> Iterator[bool]:
    """Whether nobody else on this machine changes the lake until the block ends; False only without `wait`."""
    places.spool.mkdir(parents=True, exist_ok=True)
    with (places.spool / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def compact(places: Places, lake: Lake) -> Compacted:
    """Everything that nobody writes any more; for whoever holds the lock. OSError where the lake takes no more."""
    done = Compacted()
    lake.finish(places.segments)
    for day, batch in _batches(segments.closed(places.segments)):
        _compact_batch(lake, day, batch, done)
    for kind in schema.BY_KIND:
        if done.rows[kind]:
            _merge_small(lake, kind, done)
    _take_captures(places, lake, done)
    return done


def _batches(closed: Iterable[Segment]) -> Iterator[tuple[str, list[Segment]]]:
    by_day: dict[str, list[Segment]] = defaultdict(list)
    for segment in closed:
        by_day[segment.day].append(segment)
    for day, of_day in by_day.items():
        batch: list[Segment] = []
        size = 0
        for segment in of_day:
            if batch and size + segment.size > _AT_ONCE:
                yield day, batch
                batch, size = [], 0
            batch.append(segment)
            size += segment.size
        yield day, batch


def _compact_batch(lake: Lake, day: str, batch: list[Segment], done: Compacted) -> None:
    found = tables.of_segments(batch)
    if found.unfit:
        done.refused += found.unfit
        done.reasons.append(f"{found.unfit} rows with values of another type, in {batch[0].path.name} or after")
    new = {}
    for kind, table in found.tables.items():
        validated = validate(kind, table)
        done.refused += validated.refused
        done.reasons += validated.reasons
        if validated.table.num_rows:
            new[lake.new_name(kind, day)] = validated.table
            done.rows[kind] += validated.table.num_rows
    lake.replace([], new, batch)
    done.torn_bytes += found.torn_bytes


def _merge_small(lake: Lake, kind: str, done: Compacted) -> None:
    by_day = defaultdict(list)
    for file in lake.own_files(kind):
        if file.size < _SMALL:
            by_day[file.day].append(file)
    for day, small in by_day.items():
        if len(small) >= _MANY:
            whole = lake.dataset(kind, small).to_table()
            lake.replace([file.path for file in small], {lake.new_name(kind, day): whole})
            done.merged += len(small)


def _take_captures(places: Places, lake: Lake, done: Compacted) -> None:
    captures.sweep(places.spool)
    for path in captures.waiting(places.spool):
        target = captures.path_of(path.name)
        if not lake.exists(target):
            image = path.read_bytes()
            if hashlib.sha256(image).hexdigest() == path.name:
                lake.write(target, image)
                done.captured += 1
            else:
                done.reasons.append("a captured image that is not whole, as after a power cut")
        path.unlink()
