"""`fovea keys`: create, list and revoke the API keys that callers of a server show."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fovea_server.cli import terminal
from fovea_server.cli.packages import state_folder

if TYPE_CHECKING:
    from fovea_server.access.key_file import KeyFile
    from fovea_server.access.keys import Key

app = typer.Typer(name="keys", help="Create, list and revoke API keys.", no_args_is_help=True)

_SECONDS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


def _quota(what: str) -> Any:
    """An option for so many a second."""
    return typer.Option(min=0.001, max=1e9, callback=terminal.number, help=what)


@app.command()
def create(
    scope: Annotated[
        list[str], typer.Option(help="What it is for: infer, admin (metrics), read-log; give it again for more.")
    ] = ["infer"],  # noqa: B006  (typer reads it, nobody changes it)
    name: Annotated[str, typer.Option(help="Who it is for; a word for the list.")] = "",
    expires_in: Annotated[
        str | None, typer.Option(metavar="12h|30d|8w", help="For how long it is good; without, until it is revoked.")
    ] = None,
    requests_per_second: Annotated[
        float | None, _quota("How many requests a second it may make; without, any number.")
    ] = None,
    megapixels_per_second: Annotated[
        float | None, _quota("How many megapixels a second it may send; without, any number.")
    ] = None,
    state: terminal.State = None,
) -> None:
    """Make a key and print it: to stdout, this once. Only a hash of it is kept.

    Servers that run with the same state folder take it within two seconds.
    """
    file = _file(state)
    from fovea_server.access import keys

    known = [each.value for each in keys.Scope]
    if unknown := sorted(set(scope) - set(known)):
        terminal.fail(f"there is no scope {', '.join(unknown)}", f"there are: {', '.join(known)}", code=2)
    key, text = keys.make(
        name,
        frozenset(scope),
        seconds=_seconds(expires_in),
        requests_per_second=requests_per_second,
        megapixels_per_second=megapixels_per_second,
    )
    with _told(file), file.changed() as kept:
        kept[key.id] = key
    typer.echo(f"{key.id}: {', '.join(sorted(key.scopes))}; keep it now, it is not shown again", err=True)
    typer.echo(text)


@app.command(name="list")
def list_keys(
    state: terminal.State = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
) -> None:
    """Say which keys there are, by their public ids, and what each is good for."""
    file = _file(state)
    with _told(file):
        kept = list(file.read().values())
    if as_json:
        for key in kept:
            typer.echo(json.dumps(_facts(key)))
        return
    table = terminal.table("key", "name", "scopes", "created", "requests/s", "megapixels/s", "state")
    for key in kept:
        quotas = (_number(key.requests_per_second), _number(key.megapixels_per_second))
        facts = key.id, key.name, ", ".join(sorted(key.scopes)), _day(key.created), *quotas, _standing(key)
        table.add_row(*facts)
    terminal.stdout().print(table)


@app.command()
def revoke(
    identity: Annotated[
        str, typer.Argument(metavar="KEY", help="Its public id, between the two underscores; or the key.")
    ],
    state: terminal.State = None,
) -> None:
    """Make a key worthless; it stays in the list. Running servers refuse it within two seconds."""
    file = _file(state)
    from fovea_server.access import keys

    identity, _ = keys.parts(identity) or (identity, "")  # never a secret in what is said of it
    with _told(file), file.changed() as kept:
        if identity not in kept:
            terminal.fail(f"there is no key {identity[:40]!r}", "fovea keys list shows them", code=2)
        if kept[identity].revoked is None:
            kept[identity] = dataclasses.replace(kept[identity], revoked=time.time())
    typer.echo(f"{identity}: revoked", err=True)


def _file(state: Path | None) -> KeyFile:
    terminal.need_serving()
    from fovea_server.access.key_file import KeyFile

    return KeyFile(state_folder(state))


@contextmanager
def _told(file: KeyFile) -> Iterator[None]:
    """What is wrong with the file, as an error at the terminal."""
    from fovea_server.access.key_file import BadKeyFile

    try:
        yield
    except BadKeyFile as error:
        terminal.fail(str(error), "restore it, or remove it and make new keys")
    except OSError as error:
        where = error.filename or file.path.parent  # a full disk has no name
        terminal.fail(f"{where} cannot be used: {error.strerror}", terminal.STATE_HINT)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    if not (match := re.fullmatch(r"([1-9][0-9]{0,3})([hdw])", text)):
        terminal.fail(f"--expires-in is {text!r}", "use a number of hours, days or weeks: 12h, 30d, 8w", code=2)
    return int(match[1]) * _SECONDS[match[2]]


def _facts(key: Key) -> dict[str, Any]:
    facts = {**dataclasses.asdict(key), "scopes": sorted(key.scopes), "good": key.is_good(time.time())}
    del facts["digest"]
    return facts


def _standing(key: Key) -> str:
    if key.revoked is not None:
        return f"revoked {_day(key.revoked)}"
    if key.expires is None:
        return "good"
    return f"{'good until' if key.is_good(time.time()) else 'expired'} {_day(key.expires)}"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
