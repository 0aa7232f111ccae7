"""Read a table of TOML or JSON into a frozen dataclass; what is of the wrong kind is named by its field."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from fovea_server.errors import BadExperiment

_KINDS = {"str": "text", "UnitKind": "text", "int": "a whole number", "bool": "true or false"}
_TYPES: dict[str, type] = {"str": str, "UnitKind": str, "int": int, "bool": bool}


def read(part: Any, table: Any, where: str) -> Any:
    """The part of a declaration that is called `where`. Raises BadExperiment."""
    if not isinstance(table, Mapping):
        raise BadExperiment(f"{where}: it must be a table, not {_shown(table)}")
    found = values(part, table, f"{where}.")
    needed = [each.name for each in dataclasses.fields(part) if _is_needed(each) and each.name not in found]
    if needed:
        raise BadExperiment(f"{where}.{needed[0]}: it is missing")
    return part(**found)


def values(part: Any, table: Mapping[str, Any], where: str, parts: Collection[str] = ()) -> dict[str, Any]:
    """By name, without the fields named in `parts`, which have fields of their own. Raises BadExperiment."""
    known = {each.name: str(each.type) for each in dataclasses.fields(part)}
    if unknown := sorted(set(table) - set(known)):
        raise BadExperiment(f"{where}{unknown[0]}: there is no such field; there are {listed(known)}")
    return {name: _value(f"{where}{name}", known[name], value) for name, value in table.items() if name not in parts}


def listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _is_needed(each: dataclasses.Field[Any]) -> bool:
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING


def _value(where: str, kind: str, value: Any) -> Any:
    wanted = kind.removesuffix(" | None")
    if value is None and wanted != kind:
        return None
    if wanted == "datetime":
        return _moment(where, value)
    if wanted == "tuple[float, ...]":
        if not isinstance(value, (list, tuple)):
            raise BadExperiment(f"{where}: it must be a list of numbers, not {_shown(value)}")
        return tuple(_number(where, each) for each in value)
    if wanted == "float":
        return _number(where, value)
    if not isinstance(value, _TYPES[wanted]) or (wanted == "int" and isinstance(value, bool)):
        raise BadExperiment(f"{where}: it must be {_KINDS[wanted]}, not {_shown(value)}")
    if wanted == "int":
        _number(where, value)
    return value


def _number(where: str, value: Any) -> float:
    """Whole numbers of any length are TOML; what no float can be is refused with what is none."""
    with contextlib.suppress(OverflowError):
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    raise BadExperiment(f"{where}: it must be a number, not {_shown(value)}")


def _shown(value: Any) -> str:
    """The beginning of it; Python writes out no whole number of more than 4,300 digits."""
    try:
        return f"{value!r:.40}"
    except ValueError:
        return f"one of kind {type(value).__name__} that is too long to be shown"


def _moment(where: str, value: Any) -> datetime:
    """A time without a zone is UTC. Other forms of ISO 8601 are read by newer Pythons alone."""
    moment = value
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    if not isinstance(moment, datetime):
        raise BadExperiment(
            f"{where}: it must be a moment in the form of 2026-01-31T12:00:00+00:00 or 2026-01-31T12:00:00Z, "
            f"not {_shown(value)}"
        )
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
