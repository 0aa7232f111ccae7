"""What the comparison leaves behind: one table for the terminal, one document to commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.goals import Goal
from benchmarks.lines import NOISY
from benchmarks.report import Result
from benchmarks.rows import Row
from benchmarks.table import goal_table

_HEADINGS = (
    "at once",
    "images/s",
    "drift",
    "p50 ms",
    "p99 ms",
    "errors",
    "CPU-ms/image",
    "peak MB",
    "speed",
    "p99",
    "CPU",
)


@dataclass(frozen=True)
class Line:
    """One server under one load over all rounds: rates and percentiles averaged, CPU over all images, highest peak."""

    server: str
    concurrency: int
    images_per_second: float
    drift: float  # the last round's images/s over the first's, less one
    p50_ms: float | None
    p99_ms: float | None
    errors: int
    cpu_ms: float | None
    peak_memory_mb: float | None
    noisy: bool

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Line:
        first, last = rows[0].load, rows[-1].load
        costs = [row.cost for row in rows if row.cost]
        served = sum(row.load.served for row in rows)
        return cls(
            rows[0].path,
            first.concurrency,
            sum(row.load.images_per_second for row in rows) / len(rows),
            last.images_per_second / first.images_per_second - 1 if first.images_per_second else 0.0,
            _mean([row.load.p50_ms for row in rows]),
            _mean([row.load.p99_ms for row in rows]),
            sum(sum(row.load.errors.values()) for row in rows),
            1000 * sum(cost.cpu_seconds for cost in costs) / served if costs and served else None,
            max((cost.peak_memory_mb for cost in costs), default=None),
            any(cost.others_percent >= NOISY for cost in costs),
        )


@dataclass(frozen=True)
class Comparison(Result):
    """A result whose `rows` are compared with those of the path `ours`; `absent` says why who could not be measured."""

    ours: str
    agreement: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)

    def lines(self) -> Iterator[tuple[Line, Line | None]]:
        """Each line, with ours under the same load."""
        together: dict[tuple[str, int], list[Row]] = {}
        for row in self.rows:
            together.setdefault((row.path, row.load.concurrency), []).append(row)
        lines = {key: Line.of(rows) for key, rows in together.items()}
        for (_, concurrency), line in lines.items():
            yield line, lines.get((self.ours, concurrency))

    def document(self) -> dict[str, Any]:
        return {
            **self.about,
            "compared_with": self.ours,
            "agreement": dict(self.agreement),
            "absent": dict(self.absent),
            "lines": [{**asdict(line), **ratios(line, ours)} for line, ours in self.lines()],
            "rows": [asdict(row) for row in self.rows],
        }


def ratios(line: Line, ours: Line | None) -> dict[str, float | None]:
    """Its images/s, p99 and CPU-ms an image, as multiples of ours."""
    if ours is None:
        return {"speed_to_ours": None, "p99_to_ours": None, "cpu_to_ours": None}
    return {
        "speed_to_ours": _ratio(line.images_per_second, ours.images_per_second),
        "p99_to_ours": _ratio(line.p99_ms, ours.p99_ms),
        "cpu_to_ours": _ratio(line.cpu_ms, ours.cpu_ms),
    }


def show(result: Comparison, goals: Callable[[Mapping[str, Any]], Sequence[Goal]]) -> None:
    """Print the table, and the goals that it tells about, to stdout."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("server", no_wrap=True)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for line, ours in result.lines():
        table.add_row(*_cells(line, ours))
    console = Console()
    # Piped into a file there is no terminal to fit into.
    console = console if console.is_terminal else Console(width=140)
    console.print(table)
    for note in _notes(result):
        console.print(note, highlight=False)
    console.print(goal_table({"": goals(result.document())}))


def _cells(line: Line, ours: Line | None) -> list[str]:
    return [
        line.server + (" *" if line.noisy else ""),
        str(line.concurrency),
        f"{line.images_per_second:.1f}",
        f"{line.drift:+.0%}",
        _number(line.p50_ms, ".1f"),
        _number(line.p99_ms, ".1f"),
        str(line.errors),
        _number(line.cpu_ms, ".2f"),
        _number(line.peak_memory_mb, ".0f"),
        *(_number(value, ".2f") for value in ratios(line, ours).values()),
    ]


def _notes(result: Comparison) -> Iterator[str]:
    sent = result.about["photographs"]
    yield f"{sent['count']} photographs of {sent['mean_kilobytes']} KB on average, from {sent['source']}."
    yield f"speed, p99, CPU: multiples of those of {result.ours} under the same load, in the same run."
    yield "drift: images/s of the last round over the first's. CPU-ms and MB: all processes of the server."
    for server, said in result.agreement.items():
        yield f"{server}: {said}."
    for server, reason in result.absent.items():
        yield f"{server} is missing: {reason}"
    if any(line.noisy for line, _ in result.lines()):
        yield f"* other programs took {NOISY:g}% or more of the cores meanwhile."


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 3) if known else None


def _ratio(value: float | None, ours: float | None) -> float | None:
    return round(value / ours, 3) if value and ours else None


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
