"""Rows for people and for JSON: floats of 32 bits with the digits that they have, times as RFC 3339 writes them.

Also those in lists; what else SQL nests is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pyarrow as pa

from fovea_client import digits


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """One mapping a row."""
    said = {field.name: _of(field.type) for field in table.schema}
    return [
        {name: said[name](value) for name, value in row.items()} for row in table.to_pylist(maps_as_pydicts="lossy")
    ]


def _of(kind: pa.DataType) -> Callable[[Any], Any]:
    if pa.types.is_float32(kind):
        return _digits
    if pa.types.is_timestamp(kind):
        return _moment
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        each = _of(kind.value_type)
        return lambda values: None if values is None else [each(value) for value in values]
    return lambda value: value


def _digits(number: float | None) -> float | None:
    return None if number is None else digits.shown(number)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
