"""`fovea models add` and `remove`: take a model into service, and out of it, while everything else goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from fovea_server.cli import models_versions, running, state_lock, terminal
from fovea_server.cli import packages as packages_on_disk
from fovea_server.cli.packages import state_folder

if TYPE_CHECKING:
    from fovea_pipelines.adding.add import Places
    from fovea_pipelines.adding.wish import Wish
    from fovea_pipelines.package import ModelPackage


def add(
    source: Annotated[str, typer.Argument(help="torchvision:NAME[:WEIGHTS], timm:NAME, or the path of an .onnx file.")],
    name: Annotated[str | None, typer.Option(help="What to call it; by default after the source.")] = None,
    new_version: Annotated[
        bool,
        typer.Option(
            "--new-version", help="It is the next version of the model --name: it takes over, and can be rolled back."
        ),
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="A checkpoint for the architecture (state dict, TorchScript, safetensors).",
        ),
    ] = None,
    contract: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Its preprocessing: TOML with \\[contract] and \\[normalisation], a preprocessor_config.json, a timm "
            "config, or ultralytics:classify:SIZE. By default what the source says.",
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Class names, one a line, in order of the scores.")
    ] = None,
    embedding: Annotated[
        str | None, typer.Option(metavar="TENSOR", help="What to embed with; by default what the last layer sees.")
    ] = None,
    embedding_only: Annotated[bool, typer.Option("--embedding-only", help="The network has no classes.")] = False,
    full_decode: Annotated[
        bool, typer.Option("--full-decode", help="Decode large JPEGs at full size too; costs three times the CPU.")
    ] = False,
    golden: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="An image it must answer as now, before it ever serves."),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="Photographs for the gate, and for weighing precisions; labels.csv there says their classes; "
            "repeatable.",
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="MEASURE=VALUE", help="Another limit for the gate, as in `fovea skew`; repeatable."),
    ] = None,
    description: Annotated[str, typer.Option(help="For whoever lists the models.")] = "",
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "",
    repository: terminal.Repository = None,
    state: terminal.State = None,
) -> None:
    """Add a model: build its package, check it, and take it into service in every server that is running.

    Checked are the graph, a forward pass, a batch against single images, the ONNX graph against the PyTorch network,
    and the parity gate of `fovea skew`. What does not pass is not added.
    """
    terminal.need_serving()
    from fovea_pipelines.adding import contract_file
    from fovea_pipelines.adding.wish import Wish
    from fovea_pipelines.errors import PipelineError
    from fovea_server.errors import StartError
    from fovea_server.triton.repository import default_folder, packages

    if new_version and name is None:
        terminal.fail("a new version of which model?", "say it with --name", code=2)
    try:
        given = (repository or default_folder()).resolve()
        wish = Wish(
            source=source,
            golden=golden or packages(given)[0].golden.image,
            name=name,
            weights=weights,
            preprocessing=contract_file.read(contract) if contract else None,
            labels=_labels(labels) if labels else None,
            embedding=embedding,
            embedding_only=embedding_only,
            full_decode=full_decode,
            photographs=tuple(images or ()),
            limits=dict(map(_limit, limit or ())),
            description=description,
            licence=licence,
        )
        with state_lock.alone(state_folder(state)) as folder:
            found = packages_on_disk.read(given, folder) if new_version else []
            if new_version:
                wish = replace(wish, version=models_versions.next_version(found, str(name)))
            package = _added(wish, places(given, folder))
            take_into_service(package, folder)
            if new_version:
                models_versions.take_over(package, found, folder)
    except (PipelineError, StartError) as error:
        terminal.fail(str(error), error.hint)


def remove(
    name: Annotated[str, typer.Argument(help="Which of the added models.")],
    state: terminal.State = None,
) -> None:
    """Remove an added model: out of every running server once nobody uses it, then from the disk."""
    terminal.need_serving()
    from fovea_pipelines.adding import draft
    from fovea_pipelines.errors import PipelineError
    from fovea_server.errors import StartError
    from fovea_server.triton.repository import ADDED
    from fovea_server.triton.versions import Versions

    with state_lock.alone(state_folder(state)) as folder:
        try:
            networks = _added_under(name, folder) if draft.is_name(name.partition("@")[0]) else []
            if not networks:
                terminal.fail(
                    f"{name} was not added",
                    f"what the repository itself holds stays; {folder} was read, `fovea models list` says what there "
                    "is",
                )
            for network in networks:
                _take_out_of_service(network, folder)
                draft.remove(folder / ADDED, draft.folders_named(folder / ADDED, network))
            if "@" not in name:
                Versions.of(folder).forget(name)
        except (PipelineError, StartError) as error:
            terminal.fail(str(error), error.hint)
    typer.echo(f"{name}: removed", err=True)


def _added_under(name: str, state: Path) -> list[str]:
    """What Triton calls the versions of that name that were added, the one in service last; or NAME@VERSION alone."""
    from fovea_pipelines.adding import draft
    from fovea_pipelines.triton_folders import network_name
    from fovea_server.triton.repository import ADDED
    from fovea_server.triton.versions import Versions

    added = state / ADDED
    further = [] if "@" in name else sorted(folder.name for folder in added.glob(f"{name}@*"))
    current = network_name(name, Versions.of(state).current(name) or "1")
    networks = [network for network in (name, *further) if draft.holds(added, network)]
    return sorted(networks, key=lambda network: network == current)


def _added(wish: Wish, places: Places) -> ModelPackage:
    from fovea_pipelines.adding.add import add

    with _progress() as (tell, compared):
        return add(wish, places, tell, compared)


def take_into_service(package: ModelPackage, state: Path) -> None:
    """Into all running servers, or none: one that refuses it may know what the checks do not."""
    from fovea_pipelines.adding import draft

    served: list[running.Server] = []
    for server in running.servers(state):
        if problem := server.add(package.network):
            # This one too: it may have taken the model after all, and only its answer was lost.
            for other in (*served, server):
                other.remove(package.network)
            draft.remove(package.folder.parent, draft.folders_of(package))
            terminal.fail(f"the server {server.pid} refuses {package.network}: {problem}", "nothing was added")
        served.append(server)
    where = (
        f"served by process {', '.join(str(server.pid) for server in served)}"
        if served
        else "served from the next start on"
    )
    typer.echo(f"{package.network}: added, {where}; {package.digest}", err=True)
    if problem := package.contract.beyond_triton_dali():
        terminal.say(f"NVIDIA's container cannot serve it: {problem}")


def _take_out_of_service(name: str, state: Path) -> None:
    for server in running.servers(state):
        if problem := server.remove(name):
            terminal.fail(f"the server {server.pid} keeps {name}: {problem}", "nothing was removed from the disk")


def _labels(path: Path) -> tuple[str, ...]:
    from fovea_pipelines.errors import BadPackage

    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadPackage(f"{path} is not a text of labels: {error}") from error
    # What else ends a line in Unicode, a vertical tab say, is a space of a label: packages hold a label a line.
    labels = tuple(" ".join(line.splitlines()).strip() for line in lines)
    if empty := [number for number, label in enumerate(labels, 1) if not label]:
        raise BadPackage(f"{path}: line {empty[0]} is empty; each line is the name of a class")
    return labels


def _limit(text: str) -> tuple[str, float]:
    measure, _, value = text.partition("=")
    hint = "write MEASURE=VALUE, a number of 0 or more, for example logit_drift=1.5"
    try:
        limit = float(value)
    except ValueError:
        terminal.fail(f"--limit is {text!r}", hint, code=2)
    if not 0 <= limit < math.inf:
        terminal.fail(f"--limit is {text!r}", hint, code=2)
    return measure, limit


def places(given: Path, state: Path) -> Places:
    from fovea_pipelines.adding.add import Places
    from fovea_server.triton.repository import ADDED

    return Places(given, state / ADDED)


@contextmanager
def _progress() -> Iterator[tuple[Callable[[str], None], Callable[[int, int], None]]]:
    """Each step as it begins, and how far the long one is."""
    stderr = Console(stderr=True)
    with Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        step = bar.add_task("", total=None)

        def tell(text: str) -> None:
            bar.update(step, description=escape(terminal.printable(text)))
            if not stderr.is_terminal:
                typer.echo(text, err=True)

        yield tell, lambda done, total: bar.update(step, completed=done, total=total)
