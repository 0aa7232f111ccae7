"""`fovea skew`: whether the served pixels are the ones the training code would have made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from fovea_server import strict_json
from fovea_server.cli import packages, terminal

if TYPE_CHECKING:
    from fovea_pipelines.package import ModelPackage
    from fovea_pipelines.parity.executors import Executor
    from fovea_pipelines.parity.report import Report
    from fovea_pipelines.parity.tally import Row


def skew(
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Which model; the repository's first if not given.")
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", exists=True, file_okay=False, help="Photographs to compare on; repeatable."),
    ] = None,
    no_generated: Annotated[bool, typer.Option("--no-generated", help="Leave out the generated images.")] = False,
    triton: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Also a running tritonserver, by its gRPC port.")
    ] = None,
    triton_model: Annotated[
        str | None, typer.Option(help="The preprocessing model it serves; the model's own if not given.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="All measures, as JSON.")] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="A page with the worst images side by side.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many images of each folder.")] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda: DALI on the GPU too.")] = "cpu",
    repository: terminal.Repository = None,
    state: terminal.State = None,
) -> None:
    """Compare the served pixels, and what the model says of them, with the training code's.

    Large JPEGs that are decoded at a fraction of their size are of the kind "reduced" too, and are compared decoded in
    full as well, by the executor "dali-cpu in full".

    Exits with 0 if every kind of image is within its limits, 1 if any is not, 2 if there was nothing to compare.
    """
    from fovea_pipelines.errors import PipelineError

    if no_generated and not images:
        terminal.fail("there is nothing to compare", "leave out --no-generated, or name a folder with --images", code=2)
    if device not in ("cpu", "cuda"):
        terminal.fail(f"--device is {device!r}", "use cpu or cuda", code=2)
    terminal.need_folders(json_file, html_file)
    found = packages.read(repository, state)
    package = packages.named(found, model) if model else found[0]
    try:
        executors = _executors(package, triton, triton_model, device)
        report = _compared(package, images or [], limit, no_generated, executors)
    except PipelineError as error:
        terminal.fail(str(error), error.hint)
    _write(report, json_file, html_file)
    _print(report)
    for failure in report.failures():
        terminal.say_error(failure)
    if not report.passed:
        raise typer.Exit(1)
    terminal.say(f"every kind of image is within the limits of {package.name}, built in or in its model.toml")


def _executors(package: ModelPackage, triton: str | None, triton_model: str | None, device: str) -> dict[str, Executor]:
    from fovea_pipelines.gpu import found
    from fovea_pipelines.parity.executors import DaliCpu, DaliGpu
    from fovea_pipelines.parity.served import Served

    executors: dict[str, Executor] = {"dali-cpu": DaliCpu(package.contract)}
    if device == "cuda":
        found.first()
        executors["dali-gpu"] = DaliGpu(package.contract)
    if triton is not None:
        executors["served"] = Served(triton, [triton_model] if triton_model else [package.ensemble, package.preprocess])
    return executors


def _compared(
    package: ModelPackage, folders: list[Path], limit: int | None, no_generated: bool, executors: dict[str, Executor]
) -> Report:
    from fovea_client import images
    from fovea_pipelines.parity import corpus, skew

    for folder in folders:
        others = images.left_out(str(folder), corpus.SUFFIXES)
        terminal.say_left_out(str(folder), others, "their names are none of an image that Triton decodes")
    generated = [] if no_generated else list(corpus.generated())
    total = len(generated) + sum(len(corpus.files(folder, limit)) for folder in folders)
    if not total:
        terminal.fail(f"no images in {', '.join(map(str, folders))}", code=2)
    terminal.say(f"comparing {total:,} images, {len(generated):,} of them generated, by {', '.join(executors)}")
    photographs = (corpus.from_folder(folder, limit) for folder in folders)
    with _progress(total) as progress:
        return skew.run(package, chain(generated, *photographs), executors, progress)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    stderr = Console(stderr=True)
    with Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        done = bar.add_task("images", total=total)
        yield lambda count: bar.advance(done, count)


def _write(report: Report, json_file: Path | None, html_file: Path | None) -> None:
    from fovea_pipelines.parity import page

    try:
        if json_file:
            json_file.write_text(
                json.dumps(strict_json.finite(report.to_mapping()), indent=1, allow_nan=False) + "\n", encoding="utf-8"
            )
        if html_file:
            html_file.write_text(page.render(report), encoding="utf-8")
    except OSError as error:
        terminal.fail(f"{error.filename or 'the report'} cannot be written: {error.strerror}", code=2)


def _print(report: Report) -> None:
    from fovea_pipelines.parity.columns import COLUMNS

    numbers = ("images", *(head for head, _ in COLUMNS.values()))
    table = terminal.table("executor", "kind", *numbers, numbers=numbers)
    table.add_column("looks like")
    for row in report.rows:
        table.add_row(*_cells(row))
    terminal.stdout().print(table)


def _cells(row: Row) -> Iterator[Text]:
    from fovea_pipelines.parity.columns import cells

    exceeded = {each.measure for each in row.exceeded}
    yield terminal.cell(row.executor, "dim")
    yield terminal.cell(row.kind, "red" if exceeded else "")
    yield terminal.cell(str(row.images))
    for measure, text in cells(row):
        yield terminal.cell(text, "bold red" if measure in exceeded else "")
    yield terminal.cell(row.looks_like or "", "red")
