"""What a drill reports: figures, each with what was wanted, what was measured, and whether that will do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One figure of a drill, in words for the report.

    `timed` figures depend on how fast, and how busy, the machine is; continuous integration holds the others only.
    """

    name: str
    wanted: str
    measured: str
    passed: bool
    timed: bool = False


def at_most(name: str, limit: float, measured: float, unit: str = "", *, timed: bool = False) -> Figure:
    return Figure(name, f"at most {_worded(limit, unit)}", _worded(measured, unit), measured <= limit, timed)


def at_least(name: str, limit: float, measured: float, unit: str = "", *, timed: bool = False) -> Figure:
    return Figure(name, f"at least {_worded(limit, unit)}", _worded(measured, unit), measured >= limit, timed)


def none_of(name: str, found: Mapping[str, int]) -> Figure:
    """Nothing of the kind may have happened; `found` counts what did, by what it was."""
    measured = ", ".join(f"{count:,} x {what}" for what, count in sorted(found.items()) if count) or "none"
    return Figure(name, "none", measured, not any(found.values()))


def all_of(name: str, total: int, good: int) -> Figure:
    return Figure(name, f"all of {total:,}", f"{good:,}", 0 < total == good)


def _worded(value: float, unit: str) -> str:
    digits = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.3g}"
    return f"{digits} {unit}".rstrip()
