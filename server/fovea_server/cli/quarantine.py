"""`fovea quarantine`: the images that ended the process that worked on them, twice."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fovea_server.cli import packages, terminal

if TYPE_CHECKING:
    from fovea_server.request.quarantine import Kept, Quarantine

app = typer.Typer(
    name="quarantine", help="Look at images that ended the process that worked on them, twice.", no_args_is_help=True
)

Digest = Annotated[str, typer.Argument(help="The image's SHA-256, or how it begins.")]


@app.command(name="list")
def list_images(
    state: terminal.State = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
) -> None:
    """Say which images are kept, the oldest first."""
    rows = _open(state).all()
    if as_json:
        for kept in rows:
            typer.echo(json.dumps(dataclasses.asdict(kept)))
        return
    table = terminal.table("sha256", "bytes", "since", "models", "request")
    for kept in rows:
        facts = kept.digest, f"{kept.bytes:,}", kept.since, ",".join(kept.models), kept.request_id
        table.add_row(*facts)
    terminal.stdout().print(table)


@app.command()
def show(
    digest: Digest,
    state: terminal.State = None,
    image: Annotated[bool, typer.Option("--image", help="Write the image itself, to a file or a pipe.")] = False,
) -> None:
    """Say what is known of one image and where it lies. Open it with care: it made a decoder crash."""
    quarantine = _open(state)
    kept = _one(quarantine, digest)
    path = quarantine.path(kept.digest)
    if not image:
        typer.echo(json.dumps({**dataclasses.asdict(kept), "path": str(path)}, indent=2))
        return
    if sys.stdout.isatty():
        terminal.fail("an image is not for a terminal", f"redirect it, or copy {path}")
    try:
        content = path.read_bytes()
    except OSError as error:
        terminal.fail(f"{path} cannot be read: {error.strerror}", f"fovea quarantine clear {kept.digest[:12]}")
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


@app.command()
def clear(
    digests: Annotated[list[str] | None, typer.Argument(help="SHA-256s, or how they begin.")] = None,
    state: terminal.State = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """Let images be answered again, and remove what was kept of them. Running servers follow within a second."""
    if bool(digests) == every:
        terminal.fail("name images, or say --all", "`fovea quarantine list` lists them", code=2)
    quarantine = _open(state)
    for kept in quarantine.all() if every else [_one(quarantine, digest) for digest in digests or []]:
        quarantine.clear(kept.digest)
        typer.echo(f"cleared {kept.digest}", err=True)


def _open(state: Path | None) -> Quarantine:
    terminal.need_serving()
    from fovea_server.request.quarantine import FOLDER, Quarantine

    return Quarantine(packages.state_folder(state) / FOLDER)


def _one(quarantine: Quarantine, digest: str) -> Kept:
    """The one that begins so; ends the command where there is none, or more than one."""
    found = [kept for kept in quarantine.all() if kept.digest.startswith(digest.lower())]
    if len(found) != 1:
        terminal.fail(
            f"{len(found)} images in quarantine begin with {digest}", "`fovea quarantine list` lists them", code=2
        )
    return found[0]
