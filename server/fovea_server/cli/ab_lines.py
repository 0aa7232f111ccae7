"""What `fovea ab list` and `fovea ab show` say at the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from fovea_server.cli import terminal

if TYPE_CHECKING:
    from fovea_server.studies.readout import Readout
    from fovea_server.studies.store import Entry, Kept


def print_all(experiments: Sequence[Kept], as_json: bool) -> None:
    """A line for each."""
    from fovea_server.studies import documents

    if as_json:
        for kept in experiments:
            typer.echo(json.dumps(documents.of_kept(kept)))
        return
    table = terminal.table("experiment", "state", "kind", "model", "metric", "arms")
    for kept in experiments:
        experiment = kept.experiment
        arms = ", ".join(f"{arm.name} ({arm.target})" for arm in experiment.arms)
        facts = kept.name, kept.state, experiment.kind, experiment.model, experiment.primary_metric, arms
        table.add_row(*facts)
    terminal.stdout().print(table)


def print_one(readout: Readout, journal: Sequence[Entry]) -> None:
    """Verdicts first, then what they rest on."""
    from fovea_server.studies import verdict

    kept = readout.kept
    typer.echo(f"{kept.name}: {kept.experiment.kind} on {kept.experiment.model}, {kept.state}")
    for said in verdict.verdicts(readout):
        left = f" ({verdict.duration(said.seconds_left)})" if said.word == "keep waiting" else ""
        typer.secho(f"{said.arm}: {said.word}{left}", bold=True, nl=False)
        typer.echo(f". {said.why}")
    _print_arms(readout)
    _print_slices(readout)
    if readout.pairs is not None:
        pairs = readout.pairs
        typer.echo(
            f"the same images: only the control right {pairs.only_control:,}, only the candidate "
            f"{pairs.only_candidate:,} (McNemar, p = {pairs.p_value:.3g}); {len(readout.disagreements):,} disagreements"
        )
    _print_journal(journal)


def _print_arms(readout: Readout) -> None:
    table = terminal.table(
        "arm", "model", "met by", "errors", "p50 ms", "p99 ms", readout.kept.experiment.primary_metric
    )
    for arm in readout.arms:
        figures = (arm.error_rate, ".2%"), (arm.p50_ms, ".1f"), (arm.p99_ms, ".1f"), (arm.primary, ".4g")
        facts = arm.name, arm.target, f"{arm.exposed:,}", *(_number(*figure) for figure in figures)
        table.add_row(*facts)
    terminal.stdout().print(table)
    ratio = readout.sample_ratio
    typer.echo(f"sample ratio: p = {ratio.p_value:.3g}{', a mismatch' if ratio.is_mismatch else ''}")


def _print_slices(readout: Readout) -> None:
    from fovea_server.studies.verdict import amount

    metric = readout.kept.experiment.primary_metric
    table = terminal.table("slice", "arm", "difference", "from", "to", "answers")
    for comparison in readout.comparisons:
        for name, apart in comparison.slices.items():
            if math.isfinite(apart.lower):
                interval = (amount(metric, value) for value in (apart.estimate, apart.lower, apart.upper))
                facts = name, comparison.arm, *interval, f"{apart.control + apart.candidate:,}"
                table.add_row(*facts)
    if table.row_count:
        terminal.stdout().print(table)


def _print_journal(journal: Sequence[Entry]) -> None:
    from fovea_server.studies.documents import moment

    table = terminal.table("when", "who", "what", "why")
    for entry in journal:
        table.add_row(moment(entry.at), entry.who, entry.what, entry.why)
    terminal.stdout().print(table)


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"
