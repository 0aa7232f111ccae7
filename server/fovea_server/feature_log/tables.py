"""Rows of segments as Arrow tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from fovea_server.feature_log import frames, schema
from fovea_server.feature_log.frames import Row
from fovea_server.feature_log.segments import Segment


def of_rows(kind: str, rows: Sequence[Row]) -> pa.Table:
    """What a row does not have is null; what the schema does not know is left out."""
    wanted = schema.BY_KIND[kind]
    columns = {field.name: [row.get(field.name) for row in rows] for field in wanted}
    if "slices" in columns:
        columns["slices"] = [slices and list(slices.items()) for slices in columns["slices"]]
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in wanted}, schema=wanted)


def of_segments(segments: Iterable[Segment]) -> tuple[dict[str, pa.Table], int]:
    """A table of each kind, and how many bytes at the ends of the segments were torn."""
    rows: dict[str, list[Row]] = {kind: [] for kind in schema.BY_KIND}
    torn = 0
    for segment in segments:
        found = frames.read(segment.path)
        torn += found.torn_bytes
        for kind, more in found.rows.items():
            rows[kind] += more
    return {kind: of_rows(kind, each) for kind, each in rows.items()}, torn
