"""`fovea models`: the models of a repository, and building their artefacts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from fovea_server.cli import terminal

if TYPE_CHECKING:
    from fovea_pipelines.package import ModelPackage

app = typer.Typer(name="models", help="List and build the models of a repository.", no_args_is_help=True)

Repository = Annotated[
    Path | None, typer.Option(help="Model repository; by default the one of this checkout or package.")
]


@app.command(name="list")
def list_models(
    repository: Repository = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
) -> None:
    """Say which models the repository holds, and whether they are built."""
    rows = [_facts(package) for package in _packages(repository)]
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    table = Table(
        Column("model", no_wrap=True), "version", "built", "labels", "licence", Column("digest", no_wrap=True)
    )
    for row in rows:
        built = "yes" if row["built"] else "no: fovea models build"
        table.add_row(row["name"], row["version"], built, str(row["labels"]), row["licence"], row["digest"][7:15] + "…")
    Console().print(table)


@app.command()
def build(
    names: Annotated[list[str] | None, typer.Argument(help="Which models; all by default.")] = None,
    repository: Repository = None,
    force: Annotated[bool, typer.Option(help="Build also what is there already.")] = False,
    quiet: Annotated[bool, typer.Option(help="Say nothing of what is up to date.")] = False,
) -> None:
    """Build the artefacts of models from the weights their packages name."""
    from fovea_pipelines.errors import PipelineError

    packages = {package.name: package for package in _packages(repository)}
    if unknown := sorted(set(names or ()) - set(packages)):
        terminal.fail(f"no model named {', '.join(unknown)}", f"there are: {', '.join(packages)}", code=2)
    for name in names or packages:
        try:
            _build(packages[name], force, quiet)
        except PipelineError as error:
            terminal.fail(str(error), error.hint)


def _build(package: ModelPackage, force: bool, quiet: bool) -> None:
    from fovea_pipelines import build as builder

    written = builder.build(package, force=force)
    if not written and not quiet:
        typer.echo(f"{package.name}: up to date", err=True)
    for path in written:
        typer.echo(f"{package.name}: built {path.name}, {path.stat().st_size:,} bytes", err=True)


def _packages(repository: Path | None) -> list[ModelPackage]:
    terminal.need_serving()
    from fovea_pipelines.errors import PipelineError
    from fovea_server.errors import StartError
    from fovea_server.triton.repository import default_folder, packages

    try:
        return packages(repository or default_folder())
    except (PipelineError, StartError) as error:
        terminal.fail(str(error), error.hint)


def _facts(package: ModelPackage) -> dict[str, Any]:
    return {
        "name": package.name,
        "version": package.version,
        "digest": package.digest,
        "built": all(artefact.path.is_file() for artefact in package.artefacts),
        "labels": len(package.labels),
        "licence": package.table["source"]["licence"],
        "description": package.table["description"],
    }
