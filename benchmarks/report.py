"""What the benchmark leaves behind: one JSON file to commit, a chart beside it (chart.py), one table (table.py)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks import diagnosis, goals
from benchmarks.errors import BenchmarkError
from benchmarks.goals import Goal
from benchmarks.lines import Line, lines
from benchmarks.rows import Row
from benchmarks.starts import Start

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Result:
    about: Mapping[str, Any]
    rows: Sequence[Row]

    def document(self) -> dict[str, Any]:
        return {**self.about, "rows": [asdict(row) for row in self.rows]}


@dataclass(frozen=True)
class Serving(Result):
    """The result of `make bench`; `others` are the goals that another run measured, by where they stand."""

    starts: Sequence[Start] = ()
    others: Mapping[str, Sequence[Goal]] = field(default_factory=dict)

    @cached_property
    def lines(self) -> list[Line]:
        return lines(self.rows)

    @property
    def goals(self) -> list[Goal]:
        return goals.of_serving(self.lines, self.starts)

    @property
    def findings(self) -> list[str]:
        return diagnosis.findings(self.lines)

    def document(self) -> dict[str, Any]:
        return {
            **self.about,
            "starts": [asdict(start) for start in self.starts],
            "goals": [
                *(goal.to_mapping() for goal in self.goals),
                *({**goal.to_mapping(), "source": source} for source, some in self.others.items() for goal in some),
            ],
            "findings": self.findings,
            "lines": [{**asdict(line), "load": line.load} for line in self.lines],
            "rows": [{**asdict(row), "cpu_ms": row.cpu_ms} for row in self.rows],
        }


def write(result: Result, path: Path) -> None:
    """Write the whole file or leave the old one."""
    write_text(json.dumps(result.document(), indent=2) + "\n", path)


def write_text(text: str, path: Path) -> None:
    partial = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be written: {error.strerror}", "name another with --out") from error


def newest(kind: str, machine: str) -> tuple[str, dict[str, Any]] | None:
    """Name and content of the latest result of that kind ("peers", "peers-12mp") on such a machine."""
    found = sorted(RESULTS.glob(f"{kind}-[0-9][0-9][0-9][0-9]-*-{machine}.json"))
    return (found[-1].name, json.loads(found[-1].read_text(encoding="utf-8"))) if found else None
