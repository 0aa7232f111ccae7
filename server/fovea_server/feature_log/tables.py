"""Rows of segments as Arrow tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from fovea_server.feature_log import frames, schema
from fovea_server.feature_log.frames import Row
from fovea_server.feature_log.segments import Segment

_UNFIT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError, ValueError, AttributeError)


@dataclass(frozen=True)
class Found:
    """A table of each kind; how many bytes at the ends of segments were torn, how many rows have other types."""

    tables: dict[str, pa.Table]
    torn_bytes: int
    unfit: int


def of_segments(segments: Iterable[Segment]) -> Found:
    """FileNotFoundError where a segment has been compacted meanwhile."""
    rows: dict[str, list[Row]] = {kind: [] for kind in schema.BY_KIND}
    torn = 0
    for segment in segments:
        found = frames.read(segment.path)
        torn += found.torn_bytes
        for kind, more in found.rows.items():
            rows[kind] += more
    tables = {kind: of_rows(kind, each) for kind, each in rows.items()}
    unfit = sum(len(rows[kind]) - table.num_rows for kind, table in tables.items())
    return Found(tables, torn, unfit)


def of_rows(kind: str, rows: Sequence[Row]) -> pa.Table:
    """What a row does not have is null, what the schema does not know is left out; so are rows of other types, which
    only another version can have written."""
    try:
        return _table(kind, rows)
    except _UNFIT:
        return _table(kind, [row for row in rows if _is_fit(kind, row)])


def _table(kind: str, rows: Sequence[Row]) -> pa.Table:
    wanted = schema.BY_KIND[kind]
    columns = {field.name: [row.get(field.name) for row in rows] for field in wanted}
    if "slices" in columns:
        columns["slices"] = [slices and list(slices.items()) for slices in columns["slices"]]
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in wanted}, schema=wanted)


def _is_fit(kind: str, row: Row) -> bool:
    try:
        _table(kind, [row])
    except _UNFIT:
        return False
    return True
