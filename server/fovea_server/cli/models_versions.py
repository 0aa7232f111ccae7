"""`fovea models rollback`, and how a new version of a model takes over in the servers that are running."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from fovea_server.cli import packages, running, state_lock, terminal

if TYPE_CHECKING:
    from fovea_pipelines.package import ModelPackage


def rollback(
    name: Annotated[str, typer.Argument(help="Which model.")],
    repository: terminal.Repository = None,
    state: terminal.State = None,
) -> None:
    """Let the version of a model that was in service before be so again. It is loaded still, so this takes no time.

    A second rollback takes the first one back.
    """
    terminal.need_serving()
    from fovea_server.errors import StartError

    with state_lock.alone(packages.state_folder(state)) as folder:
        found = packages.read(repository, folder)
        try:
            _roll_back(name, found, folder)
        except StartError as error:
            terminal.fail(str(error), error.hint)


def _roll_back(name: str, found: list[ModelPackage], state: Path) -> None:
    from fovea_server.triton.versions import Versions

    versions = of_name(found, name)
    if not versions:
        _unknown(name, found, "there is no version of it to go back to")
    kept = Versions.of(state)
    current, previous = kept.current(name), kept.previous(name)
    if current is None or previous not in versions:
        terminal.fail(
            f"{name} has no version to go back to", "`fovea models list` says which versions there are", code=2
        )
    _take_over(versions[previous], current, state)


def next_version(found: list[ModelPackage], name: str) -> str:
    """One more than the highest there is; ends the command where there is none."""
    versions = of_name(found, name)
    if not versions:
        _unknown(name, found, "there is no next version of it")
    return str(max(int(version) if version.isdigit() else 0 for version in versions) + 1)


def _unknown(name: str, found: list[ModelPackage], consequence: str) -> NoReturn:
    known = ", ".join(sorted({package.name for package in found}))
    terminal.fail(f"no model named {name}, so {consequence}", f"there are: {known}", code=2)


def of_name(found: list[ModelPackage], name: str) -> dict[str, ModelPackage]:
    """The packages of that name, by version."""
    return {package.version: package for package in found if package.name == name}


def take_over(package: ModelPackage, found: list[ModelPackage], state: Path) -> None:
    """In every running server, which all have it loaded, and after every start; the version before stays loaded.

    `found` are the packages there were before. What is older than the version before is removed.
    """
    from fovea_pipelines.adding import draft
    from fovea_server.triton.versions import Versions

    others = of_name(found, package.name)
    current = Versions.of(state).current(package.name)
    before = current if current in others else next(iter(others))
    _take_over(package, before, state)
    for old in (other for version, other in others.items() if version != before):
        if old.folder.parent != package.folder.parent:
            continue  # it was given, not added
        for server in running.servers(state):
            if problem := server.remove(old.network):
                terminal.fail(f"the server {server.pid} keeps {old.network}: {problem}", "the new version serves")
        draft.remove(old.folder.parent, draft.folders_of(old))


def _take_over(package: ModelPackage, before: str, state: Path) -> None:
    """The file first: a server that starts meanwhile reads it, and one that runs is told."""
    from fovea_server.triton.versions import Versions

    Versions.of(state).take_over(package.name, package.version, before)
    for server in running.servers(state):
        if problem := server.take_over(package.network):
            terminal.fail(
                f"the server {server.pid} goes on with another version of {package.name}: {problem}",
                f"version {package.version} is in service everywhere else, and there after its next start",
            )
    typer.echo(f"{package.name}: version {package.version} is in service; {package.digest}", err=True)
