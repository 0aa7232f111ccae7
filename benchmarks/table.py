"""The result of `make bench` at the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.goals import Goal
from benchmarks.lines import NOISY, Line
from benchmarks.report import Serving

_HEADINGS = (
    "images/s",
    "spread",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "errors",
    "CPU-ms/image",
    "cores",
    "peak MB",
    "speed",
    "CPU",
    "of limit",
    "its CPU",
)


def show(result: Serving) -> None:
    """Print the lines, what they mean, and the goals, to stdout."""
    console = Console()
    # Piped into a file there is no terminal to fit into.
    console = console if console.is_terminal else Console(width=170)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("path", "load"):
        table.add_column(heading, no_wrap=True)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for line in result.lines:
        table.add_row(*_cells(line))
    console.print(table)
    for note in _notes(result):
        console.print(note, highlight=False)
    console.print(goal_table({"": result.goals, **result.others}))


def _cells(line: Line) -> list[str]:
    return [
        line.path + (" *" if line.noisy else ""),
        line.load,
        f"{line.images_per_second:.1f}",
        f"{line.spread:.0%}",
        *(_number(value, ".1f") for value in (line.p50_ms, line.p95_ms, line.p99_ms)),
        str(sum(line.errors.values())),
        _number(line.cpu_ms, ".2f"),
        _number(line.cores, ".2f"),
        _number(line.peak_memory_mb, ".0f"),
        _number(line.speed_to_bare, ".2f"),
        _number(line.cpu_to_bare, ".2f"),
        _number(line.of_limit, ".2f"),
        _number(line.cpu_of_limit, ".2f"),
    ]


def _notes(result: Serving) -> Iterator[str]:
    sent = result.about["photographs"]
    yield f"{sent['count']} photographs of {sent['mean_kilobytes']} KB on average, from {sent['source']}."
    yield "CPU-ms, cores (busy on average) and MB: all of the server's processes, the load generator not among them."
    yield "spread: between the rounds. speed, CPU: images/s and CPU-ms against the bare loops before and after it."
    limits = {line.path: line.limit for line in result.lines if line.limit}
    if limits:
        below = ", ".join(f"{limit} ({path})" for path, limit in limits.items())
        yield f"of limit, its CPU: images/s and CPU-ms against {below}."
    if any(line.share for line in result.lines):
        yield "a load in percent: an open loop at that share of the most images/s above; latency since each was due."
    for line in result.lines:
        if line.errors:
            reasons = ", ".join(f"{count} x {reason}" for reason, count in line.errors.items())
            yield f"errors of {line.path}, {line.load}: {reasons}."
    if any(line.noisy for line in result.lines):
        yield f"* other programs took {NOISY:g}% or more of the cores meanwhile."
    yield from result.findings


def goal_table(goals: Mapping[str, Sequence[Goal]]) -> Table:
    """Each goal beside its figure; the goals stand under where they were measured, "" for here."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("goal")
    for heading in ("figure", "wanted"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for source, some in goals.items():
        for goal in some:
            verdict = f"{goal.verdict} ({source})" if source else goal.verdict
            table.add_row(goal.what, _number(goal.figure, ".3g"), goal.bound, verdict)
    return table


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
