"""`fovea classify`: ask a running server about images, from files, folders, globs or stdin."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from fovea_client import (
    BadImage,
    BadRequest,
    Classification,
    FoveaClientError,
    NotAllowed,
    UnknownModel,
    Unreachable,
    connect,
    images,
)
from fovea_client.images import Image
from fovea_server.cli.terminal import (
    KEY_HINT,
    ApiKey,
    CaFile,
    ClientCertificate,
    Url,
    cell,
    fail,
    fail_for_certificates,
    number,
    say_left_out,
)

if TYPE_CHECKING:
    from fovea_client import Client, GrpcClient

Outcome = Classification | FoveaClientError

# What would go wrong with every image alike: said once, and no more images are sent.
POINTLESS = (Unreachable, NotAllowed, UnknownModel, BadRequest)


def classify(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Files, folders (with the images in them that are not hidden, by their suffixes), globs in quotes, "
            "or - for one image from stdin.",
        ),
    ],
    url: Url = "http://127.0.0.1:8080",
    api_key: ApiKey = None,
    ca_file: CaFile = None,
    client_certificate: ClientCertificate = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Which model; the server's default if not given.")
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="How many labels, best first.")] = 5,
    embedding: Annotated[
        bool, typer.Option("--embedding", help="Ask for the embedding too; it is shown with --json.")
    ] = False,
    json_lines: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, in the order of the images.")
    ] = False,
    concurrency: Annotated[int, typer.Option("--concurrency", "-j", min=1, help="How many images at a time.")] = 8,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            "-t",
            min=0.001,
            max=86_400,
            callback=number,
            help="Seconds for each image, with all its retries.",
        ),
    ] = 10.0,
) -> None:
    """Say what is in each image.

    Exits with 0 if every image was answered, 1 if any was not, 2 if a path means nothing: then none is asked.
    """
    client = _client(url, api_key, ca_file, client_certificate)
    sources = _sources(paths)

    def ask(image: Image) -> Outcome:
        return _asked(client, image, model, top_k, embedding, timeout)

    with client:
        answers = _in_order(ask, sources, concurrency)
        failed = _report(answers, len(sources), json_lines)
    if failed:
        raise typer.Exit(1)


def _client(
    url: str, api_key: str | None, ca_file: str | None, client_certificate: tuple[str, str] | None
) -> Client | GrpcClient:
    try:
        return connect(url, api_key=api_key, ca_file=ca_file, client_certificate=client_certificate)
    except OSError as error:
        fail_for_certificates(error)
    except ValueError as error:
        fail(str(error), code=2)


def _sources(paths: list[str]) -> list[tuple[str, Image]]:
    """Each image with the name it is reported under."""
    sources: list[tuple[str, Image]] = []
    for path in paths:
        if path == "-":
            sources.append((path, _from_stdin()))
        else:
            sources += [(found, found) for found in _found(path)]
    return sources


def _from_stdin() -> bytes:
    try:
        return images.read_stream(typer.get_binary_stream("stdin"), "what comes from stdin")
    except BadImage as error:
        fail(error.message, code=2)


def _found(path: str) -> list[str]:
    try:
        found = images.find(path)
    except FileNotFoundError as error:
        fail(str(error), code=2)
    say_left_out(path, images.left_out(path))
    if not found:
        fail(f"no images in {path}", f"in a folder these count: {' '.join(sorted(images.SUFFIXES))}", code=2)
    return found


def _asked(
    client: Client | GrpcClient, image: Image, model: str | None, top_k: int, embedding: bool, timeout: float
) -> Outcome:
    try:
        return client.classify(image, model=model, top_k=top_k, embedding=embedding, timeout=timeout)
    except POINTLESS:
        raise
    except FoveaClientError as error:
        return error
    except OSError as error:
        return FoveaClientError(error.strerror or str(error), reason="UNREADABLE_FILE")


def _in_order(
    ask: Callable[[Image], Outcome], sources: list[tuple[str, Image]], concurrency: int
) -> Iterator[tuple[str, Outcome]]:
    """Each name with its outcome, as soon as it and all before it are there."""
    waiting: deque[tuple[str, Future[Outcome]]] = deque()
    with ThreadPoolExecutor(concurrency) as pool:
        try:
            for name, image in sources:
                waiting.append((name, pool.submit(ask, image)))
                # Some more than can be asked at once, so that one slow image does not idle the others.
                if len(waiting) == 4 * concurrency:
                    name, outcome = waiting.popleft()
                    yield name, outcome.result()
            while waiting:
                name, outcome = waiting.popleft()
                yield name, outcome.result()
        finally:
            for _, outcome in waiting:
                outcome.cancel()


def _report(answers: Iterator[tuple[str, Outcome]], total: int, json_lines: bool) -> int:
    """Write each outcome; how many failed."""
    stdout, stderr = Console(), Console(stderr=True)
    if not stdout.is_terminal:
        stdout.width = 1000  # a file or a pipe has no edge to fold at
    table, done, failed = _table(stdout.width), 0, 0
    ended_by: FoveaClientError | KeyboardInterrupt | None = None
    # JSON lines on the same terminal are progress enough, and a bar would run through them.
    shown = stderr.is_terminal and total > 1 and not (json_lines and sys.stdout.isatty())
    with Progress(
        console=stderr, transient=True, redirect_stdout=False, redirect_stderr=False, disable=not shown
    ) as bar:
        images_done = bar.add_task("images", total=total)
        try:
            for name, outcome in answers:
                if json_lines:
                    typer.echo(_json_line(name, outcome))
                else:
                    table.add_row(*_row(name, outcome))
                if isinstance(outcome, FoveaClientError):
                    failed += 1
                    stderr.print(_complaint(name, outcome), soft_wrap=True)
                done += 1
                bar.advance(images_done)
        except (*POINTLESS, KeyboardInterrupt) as error:
            ended_by = error
    if table.rows:
        stdout.print(table)
    if ended_by is not None:
        so_far = f"; {done} of {total} images were asked about" if done else ""
        interrupted = isinstance(ended_by, KeyboardInterrupt)
        hint = KEY_HINT if isinstance(ended_by, NotAllowed) and ended_by.reason == "UNAUTHENTICATED" else None
        fail(f"{'interrupted' if interrupted else ended_by}{so_far}", hint, code=130 if interrupted else 1)
    return failed


def _json_line(name: str, outcome: Outcome) -> str:
    if isinstance(outcome, FoveaClientError):
        return json.dumps({"path": name, "error": {"reason": outcome.reason, "detail": outcome.message}})
    answer = {field: value for field, value in dataclasses.asdict(outcome).items() if value is not None}
    return json.dumps({"path": name, **answer})


def _table(width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    table.add_column("label", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("next", style="dim", no_wrap=True, overflow="ellipsis", max_width=width // 3)
    table.add_column("ms", justify="right", no_wrap=True)
    return table


def _row(name: str, outcome: Outcome) -> tuple[Text, ...]:
    if isinstance(outcome, FoveaClientError):
        return cell(name), cell(f"not answered: {outcome.reason}", "red")
    took = cell(f"{outcome.timings_ms.total:.1f}")
    if not outcome.predictions:
        return cell(name), cell("no labels: this model only embeds", "dim"), cell(""), cell(""), took
    best, *others = outcome.predictions
    then = ", ".join(f"{other.label} {other.score:.2f}" for other in others)
    return cell(name), cell(best.label), cell(f"{best.score:.3f}"), cell(then), took


def _complaint(name: str, error: FoveaClientError) -> Text:
    return Text.assemble(("error: ", "red"), cell(f"{name}: {error.message} ({error.reason})"))
