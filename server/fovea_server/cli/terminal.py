"""How commands speak at the terminal: data to stdout, everything else to stderr, a hint after an error."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from fovea_server import strict_json

State = Annotated[
    Path | None,
    typer.Option(
        envvar="FOVEA_STATE", help="Where what is added at run time is kept; by default ~/.local/state/fovea."
    ),
]
Repository = Annotated[
    Path | None,
    typer.Option(help="Model repository; by default the one of this checkout or package.", envvar="FOVEA_REPOSITORY"),
]

Url = Annotated[
    str,
    typer.Option(
        "--url",
        "-u",
        help="Where the server is: http(s)://HOST:PORT or grpc(s)://HOST:PORT.",
        envvar="FOVEA_URL",
    ),
]

ApiKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY", help="Where the server asks for one; better in the environment.", envvar="FOVEA_API_KEY"
    ),
]

CaFile = Annotated[
    str | None, typer.Option(metavar="PEM", help="Who signs the server's certificate, if not one of the usual.")
]
ClientCertificate = Annotated[
    tuple[str, str] | None,
    typer.Option(metavar="PEM PEM", help="A certificate and its key, for servers that ask for one."),
]

KEY_HINT = "set FOVEA_API_KEY, or give --api-key; `fovea keys create` makes one"
STATE_HINT = "make room and let this user write there, or name another folder with --state"
SERVING_HINT = "serving needs more than the client: pip install 'fovea-server[cpu]'"

# What a terminal acts on (C0, DEL, C1), what turns the order of words around, and halves of characters.
_ACTED_ON = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """One line that any terminal shows and none obeys: what it would act on is written as \\xNN or \\uNNNN."""
    return _ACTED_ON.sub(lambda found: _escaped(ord(found[0])), text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def fail(message: str, hint: str | None = None, code: int = 1) -> NoReturn:
    """Say what went wrong and what to do, and exit."""
    say_error(message, hint)
    raise typer.Exit(code)


def say_error(message: str, hint: str | None = None) -> None:
    """Say what went wrong and what to do."""
    typer.secho("error: ", fg=typer.colors.RED, err=True, nl=False)
    typer.echo(_lines(message), err=True)
    if hint:
        typer.secho("hint: ", fg=typer.colors.CYAN, err=True, nl=False)
        typer.echo(_lines(hint), err=True)


def say_warning(message: str) -> None:
    """Say what goes on all the same, and what to do about it."""
    typer.secho("warning: ", fg=typer.colors.YELLOW, err=True, nl=False)
    typer.echo(_lines(message), err=True)


def _lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def fail_for_certificates(error: OSError) -> NoReturn:
    """What was given as --ca-file or --client-certificate is none; ssl.SSLError is an OSError too."""
    hint = "--ca-file and --client-certificate are PEM files"
    fail(f"the certificates cannot be used: {error}", hint, code=2)


def say(message: str) -> None:
    """What went well, beside the data."""
    typer.echo(_lines(message), err=True)


def say_left_out(folder: str, by_suffix: Counter[str], why: str = "they are not named like images") -> None:
    """Which files of it are not looked at, if any."""
    if by_suffix:
        most_first = sorted(by_suffix.items(), key=lambda each: (-each[1], each[0]))
        kinds = ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in most_first[:5])
        say(f"left out of {folder}, for {why}: {kinds}")


def say_json(document: dict[str, Any]) -> None:
    """One line of data for programs."""
    typer.echo(json.dumps(strict_json.finite(document), default=str, ensure_ascii=False))


def need_folders(*files: Path | None) -> None:
    """For reports: known before the work is done."""
    for file in filter(None, files):
        if not file.parent.is_dir():
            fail(f"{file} cannot be written: there is no folder {file.parent}", code=2)


def number(value: float | None) -> float | None:
    """An option's value; raises typer.BadParameter for nan, which older typers find in every range."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is no number")
    return value


def stdout() -> Console:
    """For tables: as wide as the terminal; a file or a pipe has no edge to fold at."""
    console = Console()
    if not console.is_terminal:
        console.width = 1000
    return console


class _Table(Table):
    """Whose rows are shown as they are."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        super().add_row(*(cell(each) if isinstance(each, str) else each for each in cells), **options)


def table(*heads: str, numbers: Collection[str] = ()) -> Table:
    """Of columns that are not folded, those of `numbers` to the right."""
    made = _Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        made.add_column(cell(head), justify="right" if head in numbers else "left", no_wrap=True)
    return made


def cell(text: str, style: str = "") -> Text:
    """The text as it is: rich would read what people wrote in brackets as its markup."""
    return Text(printable(text), style)


def need_serving() -> None:
    """Exit with a hint where only the client is installed."""
    for name in ("fastapi", "structlog"):
        if find_spec(name) is None:  # not by importing: FastAPI takes 0.4 s, and most commands do without
            fail(f"the Python package {name} is not installed", SERVING_HINT)
