"""Rows of segments as Arrow tables: Arrow reads their JSON by itself, without a Python object for each value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import compute, json

from fovea_server.feature_log import frames, schema
from fovea_server.feature_log.frames import Framed
from fovea_server.feature_log.segments import Segment

_EMBEDDING = "embedding"  # the column that is not in the JSON
_TYPES_IN_JSON = {"slices": pa.list_(pa.list_(pa.string())), "time": pa.int64(), "received": pa.int64()}
_UNFIT = (pa.ArrowException, ValueError, OverflowError)


@dataclass(frozen=True)
class Found:
    """A table of each kind; how many bytes at the ends of segments were torn, how many rows have other types."""

    tables: dict[str, pa.Table]
    torn_bytes: int
    unfit: int


def of_segments(segments: Iterable[Segment]) -> Found:
    """FileNotFoundError where a segment has been compacted meanwhile."""
    parts: dict[str, list[pa.Table]] = {kind: [wanted.empty_table()] for kind, wanted in schema.BY_KIND.items()}
    torn = framed = 0
    for segment in segments:
        content = frames.read(segment.path)
        torn += content.torn_bytes
        for kind, rows in content.rows.items():
            framed += len(rows)
            parts[kind] += of_rows(kind, rows)
    tables = {kind: pa.concat_tables(each).combine_chunks() for kind, each in parts.items()}
    return Found(tables, torn, framed - sum(table.num_rows for table in tables.values()))


def of_rows(kind: str, rows: Sequence[Framed]) -> list[pa.Table]:
    """What a row does not have is null, what the schema does not know is left out; so are rows of other types, which
    only another version can have written."""
    if not rows:
        return []
    try:
        return [_table(schema.BY_KIND[kind], rows)]
    except _UNFIT:
        half = len(rows) // 2
        return of_rows(kind, rows[:half]) + of_rows(kind, rows[half:]) if half else []


def _table(wanted: pa.Schema, rows: Sequence[Framed]) -> pa.Table:
    if not all(row.text.startswith(b"{") for row in rows):
        raise pa.ArrowInvalid("a row is no JSON object")
    lines = b"\n".join(row.text for row in rows)
    read = json.read_json(
        pa.BufferReader(lines),
        read_options=json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        parse_options=json.ParseOptions(explicit_schema=_in_json(wanted), unexpected_field_behavior="ignore"),
    )
    if read.num_rows != len(rows):
        raise pa.ArrowInvalid(f"{len(rows)} rows are {read.num_rows} JSON objects")
    columns = {
        field.name: _embeddings(rows) if field.name == _EMBEDDING else _as(field.type, read[field.name])
        for field in wanted
    }
    table = pa.table(columns, schema=wanted)
    table.validate(full=True)  # UTF-8, which the reader of JSON takes for granted
    return table


def _in_json(wanted: pa.Schema) -> pa.Schema:
    in_json = [field for field in wanted if field.name != _EMBEDDING]
    return pa.schema([(field.name, _TYPES_IN_JSON.get(field.name, field.type)) for field in in_json])


def _as(kind: pa.DataType, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_map(kind):
        return column.cast(kind)
    return pa.chunked_array([_map(chunk) for chunk in column.chunks], kind)


def _map(pairs: pa.ListArray) -> pa.MapArray:
    """From lists of a name and a value. ArrowInvalid where one is no pair."""
    each = pairs.flatten()
    if compute.any(compute.not_equal(compute.list_value_length(each), 2).fill_null(True)).as_py():
        raise pa.ArrowInvalid("a slice is not a name and a value")
    names_and_values = each.flatten()
    return pa.MapArray.from_arrays(pairs.offsets, names_and_values[0::2], names_and_values[1::2], mask=pairs.is_null())


def _embeddings(rows: Sequence[Framed]) -> pa.ListArray:
    """As float32; null where there is none. ArrowInvalid where one is not of float16."""
    lengths = np.array([len(row.embedding) for row in rows])
    if np.any(lengths % 2):
        raise pa.ArrowInvalid("an embedding has an odd number of bytes")
    sizes = lengths // 2
    values = np.frombuffer(b"".join(row.embedding for row in rows), "<f2").astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values), mask=pa.array(sizes == 0))
