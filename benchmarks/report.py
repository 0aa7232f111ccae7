"""What the benchmark leaves behind: one table for the terminal, one JSON file to commit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.errors import BenchmarkError
from fovea_client.load.measured import Load
from benchmarks.processes import Cost

BARE = "bare loop"
_NOISY = 5.0  # percent of the cores taken by somebody else, from which on a line is marked


@dataclass(frozen=True)
class Row:
    """One line: a path through the server under one load. `cost` is None where the server's pid is not known."""

    path: str
    load: Load
    cost: Cost | None

    @property
    def cpu_ms(self) -> float | None:
        """CPU milliseconds of all the server's processes, an image."""
        if self.cost is None or not self.load.served:
            return None
        return 1000 * self.cost.cpu_seconds / self.load.served

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Row:
        table = json.loads(text)
        return cls(table["path"], Load(**table["load"]), Cost(**table["cost"]) if table["cost"] else None)


@dataclass(frozen=True)
class Result:
    about: Mapping[str, Any]
    rows: Sequence[Row]

    @property
    def bare(self) -> Row | None:
        return next((row for row in self.rows if row.path == BARE), None)

    def document(self) -> dict[str, Any]:
        return {**self.about, "rows": [_flat(row, self.bare) for row in self.rows]}


def write(result: Result, path: Path) -> None:
    """Write the whole file or leave the old one."""
    partial = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(result.document(), indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be written: {error.strerror}", "name another with --out") from error


def show(result: Result) -> None:
    """Print the table to stdout."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("path", no_wrap=True)
    headings = (
        "at once",
        "images/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "errors",
        "CPU-ms/image",
        "peak MB",
        "speed",
        "CPU",
    )
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in result.rows:
        table.add_row(*_cells(row, result.bare))
    console = Console()
    # Piped into a file there is no terminal to fit into.
    console = console if console.is_terminal else Console(width=120)
    console.print(table)
    for note in _notes(result):
        console.print(note, highlight=False)


def _notes(result: Result) -> list[str]:
    sent = result.about["photographs"]
    notes = [
        f"{sent['count']} photographs of {sent['mean_kilobytes']} KB on average, from {sent['source']}.",
        "CPU-ms and MB: all of the server's processes, the load generator not among them.",
    ]
    if result.bare:
        notes.append("speed, CPU: images/s and CPU-ms as multiples of the bare loop's.")
    if any(row.cost and row.cost.others_percent >= _NOISY for row in result.rows):
        notes.append(f"* other programs took {_NOISY:g}% or more of the cores meanwhile.")
    return notes


def _cells(row: Row, bare: Row | None) -> list[str]:
    load, cost = row.load, row.cost
    speed, cpu = _ratios(row, bare)
    return [
        row.path + (" *" if cost and cost.others_percent >= _NOISY else ""),
        str(load.concurrency),
        f"{load.images_per_second:.1f}",
        *(_number(value, ".1f") for value in (load.p50_ms, load.p95_ms, load.p99_ms)),
        str(sum(load.errors.values())),
        _number(row.cpu_ms, ".2f"),
        _number(cost.peak_memory_mb if cost else None, ".0f"),
        _number(speed, ".2f"),
        _number(cpu, ".2f"),
    ]


def _flat(row: Row, bare: Row | None) -> dict[str, Any]:
    speed, cpu = _ratios(row, bare)
    return {
        "path": row.path,
        **asdict(row.load),
        "server_cpu_ms": _rounded(row.cpu_ms),
        "peak_memory_mb": row.cost.peak_memory_mb if row.cost else None,
        "server_processes": row.cost.processes if row.cost else None,
        "others_percent": row.cost.others_percent if row.cost else None,
        "speed_to_bare": _rounded(speed),
        "cpu_to_bare": _rounded(cpu),
    }


def _ratios(row: Row, bare: Row | None) -> tuple[float | None, float | None]:
    """Images/s and CPU-ms an image, over those of the bare loop."""
    if bare is None:
        return None, None
    cpu = row.cpu_ms / bare.cpu_ms if row.cpu_ms and bare.cpu_ms else None
    return row.load.images_per_second / bare.load.images_per_second, cpu


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
