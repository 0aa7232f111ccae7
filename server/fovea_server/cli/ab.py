"""`fovea ab`: declare experiments, start and end them, and read what they say."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fovea_pipelines import toml
from fovea_server.cli import ab_lines, log_places, packages, running, terminal

if TYPE_CHECKING:
    from fovea_server.studies.readouts import Readouts
    from fovea_server.studies.store import Change

app = typer.Typer(
    name="ab", help="Experiments: declare, start, read, and end them (docs/experiments.md).", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="Which experiment.")]
Why = Annotated[str, typer.Option("--why", help="For the journal.", metavar="TEXT")]
StoreUrl = Annotated[
    str,
    typer.Option(
        "--store",
        help="Where experiments are kept: sqlite:////FILE or postgresql+psycopg://…; by default in the state folder.",
        envvar="FOVEA_EXPERIMENTS_STORE",
    ),
]


@app.command()
def create(
    file: Annotated[Path | None, typer.Argument(help="The declaration, in TOML.", exists=True, dir_okay=False)] = None,
    name: Annotated[str | None, typer.Option(help="What to call it.")] = None,
    model: Annotated[str | None, typer.Option(help="What callers ask for when they meet it.")] = None,
    arms: Annotated[
        list[str] | None,
        typer.Option("--arm", metavar="NAME=MODEL[@VERSION][:WEIGHT]", help="The control first; repeatable."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Any field, e.g. decision.smallest_effect=0.01; repeatable."),
    ] = None,
    why: Why = "",
    state: terminal.State = None,
    store: StoreUrl = "",
) -> None:
    """Declare an experiment, from a file or in options. Nobody meets it before it is started."""
    from fovea_server.studies.declaration import Experiment

    with _told(), _readouts(state, store) as readouts:
        table = _table(file, name, model, arms or [], settings or [])
        kept = readouts.store.create(Experiment.read(table), _change(why))
        typer.echo(f"{kept.name}: a draft; `fovea ab start {kept.name}` lets callers meet it", err=True)


@app.command()
def start(
    name: Name, why: Why = "", state: terminal.State = None, store: StoreUrl = "", log: log_places.Location = ""
) -> None:
    """Let callers meet it: in every gateway process within half a second."""
    from fovea_server.studies import starting

    with _told(), _readouts(state, store, log) as readouts:
        kept = readouts.store.get(name)
        starting.check_served(kept.experiment, _served(state))
        starting.check_reported(kept.experiment, readouts.truth, readouts.observations)
        readouts.store.start(kept, _change(why))
        typer.echo(f"{name}: running", err=True)


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    state: terminal.State = None,
    store: StoreUrl = "",
) -> None:
    """Print a line for each experiment there is."""
    with _told(), _readouts(state, store) as readouts:
        ab_lines.print_all(readouts.all(), as_json)


@app.command()
def show(
    name: Name,
    as_json: Annotated[bool, typer.Option("--json", help="As GET /v1/experiments/NAME answers it.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as a page.")] = None,
    state: terminal.State = None,
    store: StoreUrl = "",
    log: log_places.Location = "",
) -> None:
    """Say what an experiment shows by now: estimates, intervals that hold however often one looks, a verdict."""
    from fovea_server.studies import documents, metrics, page

    with _told(), _readouts(state, store, log) as readouts:
        readout = readouts.of(name)
        if readout.kept.experiment.primary_metric == metrics.ACCURACY and not readouts.truth.is_reported:
            typer.echo("no labels are read: name the log that has them with --feature-log", err=True)
        if html is not None:
            _write(page.render(readout, readouts), html)
        if as_json:
            typer.echo(json.dumps(documents.of_readout(readout)))
        elif html is None:
            ab_lines.print_one(readout, readouts.store.journal(name))


@app.command()
def stop(name: Name, why: Why, state: terminal.State = None, store: StoreUrl = "") -> None:
    """End it without a decision: everybody meets the control."""
    with _told(), _readouts(state, store) as readouts:
        readouts.store.stop(readouts.store.get(name), _change(why))
        typer.echo(f"{name}: stopped; the control answers", err=True)


@app.command()
def promote(
    name: Name,
    why: Why,
    arm: Annotated[str | None, typer.Option(help="Which arm; the candidate, where there is only one.")] = None,
    state: terminal.State = None,
    store: StoreUrl = "",
) -> None:
    """End it with a decision: everybody meets that arm from now on. `rollback` takes it back."""
    from fovea_server.studies import starting

    with _told(), _readouts(state, store) as readouts:
        kept = readouts.store.get(name)
        if arm is None and len(kept.experiment.candidates) > 1:
            candidates = ", ".join(each.name for each in kept.experiment.candidates)
            terminal.fail(f"{name} has several candidates", f"name one with --arm: {candidates}", code=2)
        chosen = kept.experiment.arm(arm or kept.experiment.candidate.name)
        starting.check_served(kept.experiment, _served(state))
        readouts.store.promote(kept, chosen.name, _change(why))
        typer.echo(f"{name}: {chosen.target} answers for {kept.experiment.model}", err=True)


@app.command()
def rollback(name: Name, why: Why, state: terminal.State = None, store: StoreUrl = "") -> None:
    """Back to the control at once, of a running experiment or of a promoted one; it is loaded still."""
    with _told(), _readouts(state, store) as readouts:
        kept = readouts.store.roll_back(readouts.store.get(name), _change(why))
        typer.echo(f"{name}: {kept.experiment.control.target} answers for {kept.experiment.model}", err=True)


@contextmanager
def _readouts(state: Path | None, url: str, log: str = "") -> Iterator[Readouts]:
    terminal.need_serving()
    from fovea_server.errors import StartError
    from fovea_server.feature_log.opening import need_extra
    from fovea_server.feature_log.places import Places
    from fovea_server.studies.experiments import readouts_of

    folder = packages.state_folder(state)
    try:
        if log:
            need_extra()
        readouts = readouts_of(url, folder, Places.of(log, folder) if log else None)
    except StartError as error:
        terminal.fail(str(error), error.hint, code=2)
    try:
        yield readouts
    finally:
        readouts.store.database.close()


@contextmanager
def _told() -> Iterator[None]:
    """Every error of ours as a line at the terminal."""
    terminal.need_serving()
    from fovea_server.errors import BadExperiment, ExperimentRefused, FoveaError

    try:
        yield
    except FoveaError as error:
        terminal.fail(str(error), code=2 if isinstance(error, (BadExperiment, ExperimentRefused)) else 1)


def _write(page: str, html: Path) -> None:
    try:
        html.write_text(page, encoding="utf-8")
    except OSError as error:
        terminal.fail(
            f"{html} cannot be written: {error.strerror}", "name a file in a folder that is there with --html"
        )
    terminal.say(f"{html}: written")


def _change(why: str) -> Change:
    from fovea_server.studies.store import Change

    text = why.encode(errors="backslashreplace").decode()  # an argument may hold bytes that are none
    return Change(f"{_user()}@{socket.gethostname()}", text)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user that has no name
        return str(os.getuid())


def _served(state: Path | None) -> set[str]:
    """What every running server has loaded; without one, what the next will load."""
    folder = packages.state_folder(state)
    loaded = [server.models() for server in running.servers(folder)]
    if loaded:
        return set.intersection(*loaded)
    found = packages.read(None, state)
    return {package.name for package in found} | {f"{package.name}@{package.version}" for package in found}


def _table(
    file: Path | None, name: str | None, model: str | None, arms: list[str], settings: list[str]
) -> dict[str, Any]:
    """A declaration as TOML would have it."""
    from fovea_server.studies.folder import read_toml

    table = read_toml(file) if file else {}
    table |= {key: value for key, value in (("name", name), ("model", model)) if value is not None}
    if arms:
        table["arms"] = [_arm(text) for text in arms]
    for setting in settings:
        _set(table, setting)
    return table


def _arm(text: str) -> dict[str, Any]:
    name, _, rest = text.partition("=")
    target, _, weight = rest.partition(":")
    model, _, version = target.partition("@")
    if not name or not model:
        terminal.fail(f"--arm {text!r} is not NAME=MODEL[@VERSION][:WEIGHT]", code=2)
    arm: dict[str, Any] = {"name": name, "model": model}
    if version:
        arm["version"] = version
    if weight:
        arm["weight"] = _toml_value("--arm", weight)
    return arm


def _set(table: dict[str, Any], setting: str) -> None:
    field, _, value = setting.partition("=")
    *tables, last = field.split(".")
    for place, each in enumerate(tables):
        table = table.setdefault(each, {})
        if not isinstance(table, dict):
            where = ".".join(tables[: place + 1])
            terminal.fail(f"--set {field}: {where} is {table!r:.40} and has no fields", code=2)
    table[last] = _toml_value(f"--set {field}", value)


def _toml_value(where: str, text: str) -> Any:
    """As in TOML; what is no TOML is text, so that nobody has to quote twice."""
    if not text:
        terminal.fail(f"{where} has no value", code=2)
    try:
        return toml.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # of a number too long and of lists too deep, too
        return text
