"""Every row is looked at before it becomes part of a Parquet file: types, ranges, what may be missing (pandera)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import pandera.pyarrow as pa_schema
import pyarrow as pa
from pandera.errors import SchemaErrors
from pandera.pyarrow import Check

from fovea_server.feature_log import schema

_MILLISECONDS = tuple(field.name for field in schema.RECORDS if field.name.endswith("_ms"))
_CHECKS: dict[str, Sequence[Check]] = {
    "schema_version": [Check.equal_to(schema.VERSION)],
    "id": [Check.str_length(1, 128)],
    "caller": [Check.str_matches(r"^([0-9a-f]{32})?$")],
    "outcome": [Check.str_matches(r"^[A-Z][A-Z_]{1,63}$")],
    "image_sha256": [Check.str_matches(r"^[0-9a-f]{64}$")],
    "image_bytes": [Check.ge(0)],
    "image_width": [Check.ge(1)],
    "image_height": [Check.ge(1)],
    "image_orientation": [Check.in_range(1, 8)],
    "brightness": [Check.in_range(0, 1)],
    "contrast": [Check.ge(0)],
    "sharpness": [Check.ge(0)],
    "entropy": [Check.ge(-1e-3)],
    "label": [Check.str_length(1, 200)],
    **{name: [Check.ge(0)] for name in _MILLISECONDS},
}


@dataclass(frozen=True)
class Validated:
    """`refused` rows did not pass; `reasons` are the checks they failed."""

    table: pa.Table
    refused: int = 0
    reasons: tuple[str, ...] = ()


def validate(kind: str, table: pa.Table) -> Validated:
    """The rows that are as the schema says."""
    if not table.num_rows:
        return Validated(table)
    strict = _of(kind)
    try:
        return Validated(strict.validate(table, lazy=True))
    except SchemaErrors as error:
        said = error.failure_cases.select(["column", "check"]).to_pylist()
        reasons = tuple(sorted({f"{each['column']}: {each['check']}" for each in said}))
    passed = _of(kind, drop_invalid_rows=True).validate(table, lazy=True)
    return Validated(passed, table.num_rows - passed.num_rows, reasons)


@lru_cache
def _of(kind: str, **options: bool) -> pa_schema.DataFrameSchema:
    columns = {field.name: _column(field) for field in schema.BY_KIND[kind]}
    return pa_schema.DataFrameSchema(columns, strict=True, **options)


def _column(field: pa.Field) -> pa_schema.Column:
    """pandera 0.35 knows no maps; Arrow itself has checked their type when the table was made."""
    kind = None if pa.types.is_map(field.type) else field.type
    return pa_schema.Column(kind, list(_CHECKS.get(field.name, ())), nullable=field.nullable)
