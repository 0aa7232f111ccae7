"""`fovea models`: which models there are, and building their artefacts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fovea_server.cli import models_add, models_tensorrt, models_variant, models_versions, packages, running, terminal

if TYPE_CHECKING:
    from fovea_pipelines.package import ModelPackage
    from fovea_server.triton.versions import Versions

app = typer.Typer(name="models", help="List, show, build, add and remove models.", no_args_is_help=True)
app.command()(models_add.add)
app.command()(models_add.remove)
app.command()(models_variant.variant)
app.command()(models_versions.rollback)


@app.command(name="list")
def list_models(
    repository: terminal.Repository = None,
    state: terminal.State = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
) -> None:
    """Say which models there are, given and added, and whether they are built.

    A version in brackets is not in service; NAME@VERSION asks for it. The precision is what `fovea serve` has this
    CPU compute in unless told otherwise.
    """
    found = packages.read(repository, state)
    from fovea_server.errors import StartError
    from fovea_server.triton.versions import Versions

    versions = Versions.of(packages.state_folder(state))
    try:
        rows = [{**_facts(package), "in_service": _in_service(package, versions)} for package in found]
    except StartError as error:
        terminal.fail(str(error), error.hint)
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    heads = ("model", "version", "labels", "features", "precision", "preprocessing", "licence", "digest", "")
    table = terminal.table(*heads)
    for row in rows:
        built = "" if row["built"] else "not built: fovea models build"
        what = str(row["labels"] or "-"), str(row["features"]), row["precision"] or "-"
        version = row["version"] if row["in_service"] else f"({row['version']})"
        facts = row["name"], version, *what, row["preprocess"], row["licence"] or "-", row["digest"][7:15] + "…", built
        table.add_row(*facts)
    terminal.stdout().print(table)


@app.command()
def build(
    names: Annotated[list[str] | None, typer.Argument(help="Which models; all by default.")] = None,
    repository: terminal.Repository = None,
    state: terminal.State = None,
    force: Annotated[bool, typer.Option(help="Build also what is there already.")] = False,
    quiet: Annotated[bool, typer.Option(help="Say nothing of what is up to date.")] = False,
    precision: Annotated[
        str | None, typer.Option(metavar="int8", help="Make the 8-bit form of one model, from --images.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="tensorrt",
            help="Make plans for this machine's GPU, checked on --images; --precision f16 (default), f32 or int8.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", exists=True, file_okay=False, help="Photographs; labels.csv there says their classes."
        ),
    ] = None,
) -> None:
    """Build what is missing of models' artefacts; with --precision int8, give one model its 8-bit form.

    For that, half of the images are calibrated on, and every precision is measured on the other half. What loses more
    than 1.0 point of top-1 against f32 is never served unless it is asked for.
    """
    from fovea_pipelines.errors import PipelineError

    found = packages.read(repository, state)
    if engine is not None:
        if engine != "tensorrt" or images is None:
            terminal.fail("plans are made by --engine tensorrt, from --images FOLDER", code=2)
        wanted = [packages.named(found, name) for name in names] if names else found
        models_tensorrt.build(wanted, precision or "f16", images, force=force)
        return
    if precision is not None:
        _quantise(found, names or [], precision, images, state)
        return
    for package in [packages.named(found, name) for name in names] if names else found:
        try:
            _build(package, force, quiet)
        except PipelineError as error:
            terminal.fail(str(error), error.hint)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Which model.")],
    repository: terminal.Repository = None,
    state: terminal.State = None,
) -> None:
    """Print the model's description: source, contract, what was checked and measured. TOML, as it is kept."""
    package = packages.named(packages.read(repository, state), name)
    typer.echo(f"# {package.folder / 'model.toml'}\n# {package.digest}")
    typer.echo((package.folder / "model.toml").read_text(encoding="utf-8"), nl=False)


def _quantise(
    found: list[ModelPackage], names: list[str], precision: str, images: Path | None, state: Path | None
) -> None:
    from fovea_pipelines.errors import PipelineError
    from fovea_pipelines.quantisation.quantise import quantise

    if precision != "int8" or len(names) != 1 or images is None:
        terminal.fail(
            "an 8-bit form is made of one model, from images",
            "fovea models build NAME --precision int8 --images FOLDER",
            code=2,
        )
    package = packages.named(found, names[0])
    _refuse_while_served(package, state)
    try:
        measured = quantise(package, images, lambda step: typer.echo(step, err=True))
    except PipelineError as error:
        terminal.fail(str(error), error.hint)
    for name, accuracy in measured.items():
        typer.echo(f"{name:5} top-1 {accuracy['top_1']:.3f}  top-5 {accuracy['top_5']:.3f}  ({accuracy['against']})")
    typer.echo(f"{package.name}: its 8-bit form is served from the next start on", err=True)


def _refuse_while_served(package: ModelPackage, state: Path | None) -> None:
    """A running server would go on saying the digest that the package had."""
    if server := next(running.servers(packages.state_folder(state)), None):
        terminal.fail(
            f"the server {server.pid} is running, and with an 8-bit form {package.name} is not what it serves",
            "stop it first",
        )


def _build(package: ModelPackage, force: bool, quiet: bool) -> None:
    from fovea_pipelines import build as builder

    written = builder.build(package, force=force)
    if not written and not quiet:
        typer.echo(f"{package.name}: up to date", err=True)
    for path in written:
        typer.echo(f"{package.name}: built {path.name}, {path.stat().st_size:,} bytes", err=True)


def _in_service(package: ModelPackage, versions: Versions) -> bool:
    return versions.current(package.name) in (None, package.version)


def _facts(package: ModelPackage) -> dict[str, Any]:
    from fovea_pipelines import precision as precisions
    from fovea_pipelines.errors import PipelineError

    try:
        precision = precisions.choose(package)
    except PipelineError:  # a variant for another CPU
        precision = None
    return {
        "name": package.name,
        "version": package.version,
        "digest": package.digest,
        "built": all(artefact.path.is_file() for artefact in package.artefacts.values()),
        "labels": len(package.labels),
        "features": package.features,
        "precision": precision,
        "preprocess": package.preprocess,
        "licence": package.table["source"].get("licence", ""),
        "description": package.table["description"],
    }
