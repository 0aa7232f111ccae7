"""How commands speak at the terminal: data to stdout, everything else to stderr, a hint after an error."""

from __future__ import annotations

import json
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

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


def fail(message: str, hint: str | None = None, code: int = 1) -> NoReturn:
    """Say what went wrong and what to do, and exit."""
    say_error(message, hint)
    raise typer.Exit(code)


def say_error(message: str, hint: str | None = None) -> None:
    """Say what went wrong and what to do."""
    typer.secho("error: ", fg=typer.colors.RED, err=True, nl=False)
    typer.echo(message, err=True)
    if hint:
        typer.secho("hint: ", fg=typer.colors.CYAN, err=True, nl=False)
        typer.echo(hint, err=True)


def fail_for_certificates(error: OSError) -> NoReturn:
    """What was given as --ca-file or --client-certificate is none; ssl.SSLError is an OSError too."""
    hint = "--ca-file and --client-certificate are PEM files"
    fail(f"the certificates cannot be used: {error}", hint, code=2)


def say(message: str) -> None:
    """What went well, beside the data."""
    typer.echo(message, err=True)


def say_left_out(folder: str, by_suffix: Counter[str], why: str = "they are not named like images") -> None:
    """Which files of it are not looked at, if any."""
    if by_suffix:
        most_first = sorted(by_suffix.items(), key=lambda each: (-each[1], each[0]))
        kinds = ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in most_first[:5])
        say(f"left out of {folder}, for {why}: {kinds}")


def say_json(document: dict[str, Any]) -> None:
    """One line of data for programs."""
    typer.echo(json.dumps(document, default=str, ensure_ascii=False))


def stdout() -> Console:
    """For tables: as wide as the terminal; a file or a pipe has no edge to fold at."""
    console = Console()
    if not console.is_terminal:
        console.width = 1000
    return console


def need_serving() -> None:
    """Exit with a hint where only the client is installed."""
    for name in ("fastapi", "structlog"):
        if find_spec(name) is None:  # not by importing: FastAPI takes 0.4 s, and most commands do without
            fail(f"the Python package {name} is not installed", SERVING_HINT)
