"""Forget one caller: rows in files and segments, feedback on their answers and by them, and their captured images."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from fovea_server.feature_log import captures, segments
from fovea_server.feature_log.compaction import alone, compact
from fovea_server.feature_log.lake import Lake
from fovea_server.feature_log.places import Places

_CLOSING = 5.0  # seconds that running gateways have to close what they write


@dataclass(frozen=True)
class Erased:
    """`left_open` are segments that a gateway did not close: what is in them is not erased yet."""

    records: int
    feedback: int
    images: int
    files: int
    left_open: int


def erase(places: Places, caller: str) -> Erased:
    """All that is kept of the caller with this hash. Doing it again finds nothing. OSError where a file resists."""
    lake = Lake.of(places)
    left_open = _close_segments(places)
    with alone(places, wait=True):
        compact(places, lake)
        theirs = lake.dataset("records").to_table(["id", "image_sha256"], filter=pc.field("caller") == caller)
        ids = pa.compute.unique(theirs["id"])
        digests = set(theirs["image_sha256"].to_pylist()) - _of_others(lake, caller, theirs["image_sha256"])
        # Feedback first: were this cut off, its ids would still be found the next time. The images for the same reason.
        given, given_files = _rewrite(lake, "feedback", (pc.field("caller") == caller) | pc.field("id").isin(ids))
        images = _forget_images(places, lake, digests)
        records, record_files = _rewrite(lake, "records", pc.field("caller") == caller)
    return Erased(records, given, images, given_files + record_files, left_open)


def _close_segments(places: Places) -> int:
    """Ask whoever writes to begin a new segment; how many of those that there were have not been closed in time."""
    asked = {segment.path for segment in segments.all_of(places.segments)}
    if not asked:
        return 0
    segments.ask_to_close(places.segments)
    until = time.monotonic() + _CLOSING
    while True:
        closed = {segment.path for segment in segments.closed(places.segments)}
        there = {segment.path for segment in segments.all_of(places.segments)}
        left = (asked & there) - closed
        if not left or time.monotonic() > until:
            return len(left)
        time.sleep(0.05)


def _of_others(lake: Lake, caller: str, digests: pa.ChunkedArray) -> set[str]:
    """Which of the images others have sent too."""
    sent = (pc.field("caller") != caller) & pc.field("image_sha256").isin(pa.compute.unique(digests))
    return set(lake.dataset("records").to_table(["image_sha256"], filter=sent)["image_sha256"].to_pylist())


def _rewrite(lake: Lake, kind: str, theirs: ds.Expression) -> tuple[int, int]:
    """How many rows are gone, and how many files were written again without them."""
    rows = files = 0
    for file in lake.own_files(kind):
        dataset = lake.dataset(kind, [file])
        found = dataset.count_rows(filter=theirs)
        if found:
            rest = dataset.to_table(filter=~theirs)
            lake.replace([file.path], {lake.new_name(kind, file.day): rest} if rest.num_rows else {})
            rows, files = rows + found, files + 1
    return rows, files


def _forget_images(places: Places, lake: Lake, digests: Collection[str]) -> int:
    captures.forget(digests, places.spool)
    paths = [captures.path_of(digest) for digest in digests]
    there = [path for path in paths if lake.exists(path)]
    lake.delete(there)
    return len(there)
