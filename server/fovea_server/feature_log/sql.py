"""Names, texts and moments as SQL writes them."""

from __future__ import annotations

from datetime import datetime, timezone


def name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def moment(when: datetime) -> str:
    """One without a zone is taken for UTC."""
    known = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return f"TIMESTAMPTZ '{known.astimezone(timezone.utc).isoformat(sep=' ')}'"
