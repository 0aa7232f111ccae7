"""`fovea tune`: find the settings that serve a model best on this machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fovea_server.cli import packages, terminal

if TYPE_CHECKING:
    from fovea_client.load import Photograph
    from fovea_pipelines.package import ModelPackage
    from fovea_server.tuning.journal import Journal
    from fovea_server.tuning.search import Search
    from fovea_server.tuning.sweep import Sweep
    from fovea_server.tuning.trial import Goal, Trial

_SHOWN = 12  # trials of the table, the best
_ONE_IMAGE = (
    "one picture of one size is sent, and `fovea serve` will use what wins with it, fastest for others or not: "
    "give --images FOLDER with photographs like those that will come"
)


def tune(
    goal: Annotated[
        str, typer.Option(metavar="throughput|cpu", help="Most images/s, or least CPU time an image.")
    ] = "throughput",
    p99: Annotated[
        float,
        typer.Option(metavar="MS", help="What the 99th percentile may be.", min=1, max=1e6, callback=terminal.number),
    ] = 100.0,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Photographs to send, like those that will come; by default the golden image alone, which is not.",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="Of load at each rate.", min=0.5, max=86_400, callback=terminal.number)
    ] = 5.0,
    budget: Annotated[
        float,
        typer.Option(
            metavar="MINUTES",
            help="After which the best so far is kept.",
            min=0.1,
            max=100_000,
            callback=terminal.number,
        ),
    ] = 20,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the last sweep, after Ctrl-C.")] = False,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Which; the repository's first if not given.")
    ] = None,
    repository: terminal.Repository = None,
    state: terminal.State = None,
) -> None:
    """Measure settings of the whole served path on this machine's CPU, and keep those that win for `fovea serve`.

    Each setting gets a server of its own and open-loop load at increasing rates. Leave the machine alone meanwhile.
    Exits with 0 if a setting keeps the bound, 1 if none does, 2 if an option makes no sense, 130 after Ctrl-C.
    """
    terminal.need_serving()
    from fovea_client.load import BenchmarkError
    from fovea_pipelines.errors import PipelineError
    from fovea_server.errors import StartError
    from fovea_server.triton.repository import default_folder
    from fovea_server.tuning.sweep import Sweep
    from fovea_server.tuning.trials import Conditions

    wanted = _goal(goal)
    try:
        folder = (repository or default_folder()).resolve()
        package = _package(folder, model, state)
        sent, source = _photographs(package, images)
        conditions = Conditions(folder, package, sent, source, wanted, p99, seconds)
        sweep = Sweep(conditions, budget * 60, packages.state_folder(state))
        sweep.check()
        _run(sweep, resume)
    except (StartError, PipelineError, BenchmarkError) as error:
        terminal.fail(str(error), error.hint)


def _goal(text: str) -> Goal:
    from fovea_server.tuning.trial import GOALS

    found = next((goal for goal in GOALS if goal == text), None)
    if found is None:
        terminal.fail(f"--goal is {text!r}", f"use {' or '.join(GOALS)}", code=2)
    return found


def _package(folder: Path, model: str | None, state: Path | None) -> ModelPackage:
    found = packages.read(folder, state)
    return packages.named(found, model) if model else found[0]


def _photographs(package: ModelPackage, images: Path | None) -> tuple[tuple[Photograph, ...], str]:
    """What is sent, and what it is in words."""
    from fovea_client.load import photographs

    found = photographs.read(images or package.golden.image)
    name = f"{terminal.printable(images.resolve().name)}/" if images else "the golden image"
    return found, f"{name}, {len(found)} of {photographs.mean_kilobytes(found):.0f} KB"


def _run(sweep: Sweep, resume: bool) -> None:
    from fovea_server.tuning.sweep import trials_at_most

    journal = sweep.journal(resume=resume)
    known = journal.remembered
    signal.signal(signal.SIGTERM, _stop_in_order)
    typer.echo(f"tuning {sweep.plan['model']} on {sweep.plan['machine']}, {sweep.plan['photographs']}", err=True)
    if len(sweep.conditions.images) == 1:
        terminal.say_warning(_ONE_IMAGE)
    try:
        with _progress(trials_at_most(sweep)) as progress:
            found = sweep.run(journal, progress)
    except KeyboardInterrupt:
        done = max(len(journal.trials), known)
        terminal.fail(f"interrupted after {done} trials; they are in {journal.path}", "fovea tune --resume", code=130)
    _show(journal.trials, sweep)
    if not found.score:
        _say_none(found, journal, sweep)
    _conclude(found, sweep)
    path = sweep.write(found, journal)
    typer.echo(f"written to {path}; `fovea serve` uses it from its next start on")


def _stop_in_order(number: int, frame: object) -> None:
    """SIGTERM is Ctrl-C: the server of the moment has to be stopped."""
    raise KeyboardInterrupt


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """A bar at a terminal; a line for each trial elsewhere."""
    from fovea_server.tuning.sweep import Progress as Told

    stderr = Console(stderr=True, highlight=False)
    columns = (BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("starting the default setting", total=total)

        def begins(setting: Any, role: str, search: Search) -> None:
            word = "the default again" if role == "baseline" else search.best.changes(setting)
            bar.update(task, description=f"{word}   best so far {search.score:.1f}")

        def ended(trial: Trial, recalled: bool) -> None:
            bar.advance(task)
            if not stderr.is_terminal and not recalled:
                typer.echo(f"{trial.role:9} {trial.score:8.1f}  {trial.setting}", err=True)

        yield Told(begins, ended)


def _show(trials: Sequence[Trial], sweep: Sweep) -> None:
    """The best trials, best first."""
    from fovea_server.tuning.evidence import UNITS

    numbers = (UNITS[sweep.conditions.goal], "p99 ms", "CPU-ms/image")
    table = terminal.table(*numbers, "setting (instances x threads)", numbers=numbers)
    for trial in sorted(trials, key=lambda each: -each.score)[:_SHOWN]:
        kept = [step for step in trial.steps if step.keeps(sweep.conditions.p99)]
        best = kept[-1] if kept else None
        cells = (f"{best.p99_ms:.0f}", f"{best.cpu_ms:.2f}") if best else ("-", "-")
        words = f"{trial.setting}{' (default)' if trial.role == 'baseline' else ''}"
        style = "dim" if trial.role == "baseline" else ""
        table.add_row(f"{trial.score:.1f}", *cells, terminal.cell(words, style))
    terminal.stdout().print(table)


def _say_none(found: Search, journal: Journal, sweep: Sweep) -> None:
    seen = [best for trial in journal.trials if (best := trial.best_p99)]
    best = min(seen, default=None)
    told = f"the best seen is {best[0]:.0f} ms at {best[1]:.0f} images/s" if best else "none answered its images"
    bound = f"the 99th percentile within {sweep.conditions.p99:g} ms"
    if not found.done:
        terminal.fail(
            f"the time was over before a setting kept {bound}: {told}", "fovea tune --resume, with a longer --budget"
        )
    terminal.fail(f"no setting kept {bound}: {told}", f"allow more with --p99; what was measured is in {journal.path}")


def _conclude(found: Search, sweep: Sweep) -> None:
    from fovea_server.tuning.evidence import UNITS

    unit = UNITS[sweep.conditions.goal]
    noise = f"baselines spread by {found.spread:.0%}"
    if len(found.baselines) == 1:
        typer.echo(f"only the default was measured, once: {found.first:.1f} {unit}")
    elif found.best == found.baseline:
        typer.echo(f"nothing beat the default, {found.first:.1f} {unit}, by more than noise ({noise})")
    else:
        gain = f"{found.score / found.first - 1:+.0%}" if found.first else "where the default keeps no bound"
        typer.echo(f"best: {found.best}")
        typer.echo(f"{found.score:.1f} {unit} instead of {found.first:.1f} ({gain}; {noise})")
    if not found.done:
        typer.echo("the time was over before the search: `fovea tune --resume` goes on", err=True)
