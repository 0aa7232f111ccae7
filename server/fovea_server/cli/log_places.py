"""Which feature log a command is about, and the moments it names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fovea_server.cli import terminal
from fovea_server.cli.packages import state_folder

if TYPE_CHECKING:
    from datetime import datetime

    from fovea_server.feature_log.places import Places
    from fovea_server.feature_log.reading import Reader

Location = Annotated[
    str,
    typer.Option(
        "--feature-log",
        metavar="FOLDER|URL",
        help="Where the log is: what `fovea serve` was given.",
        envvar="FOVEA_FEATURE_LOG",
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option(
        metavar="T",
        help="Know only what was known then: 2026-11-21T12:00:00Z, or 2026-11-21, which is 0:00 UTC of that day.",
    ),
]


def places(location: str, state: Path | None) -> Places:
    """Ends the command where the log is not to be found or read."""
    terminal.need_serving()
    from fovea_server.errors import StartError
    from fovea_server.feature_log.opening import need_extra
    from fovea_server.feature_log.places import Places

    if not location:
        terminal.fail("no feature log is named", "fovea ... --feature-log FOLDER, or set FOVEA_FEATURE_LOG", code=2)
    try:
        need_extra()
        found = Places.of(location, state_folder(state))
    except StartError as error:
        terminal.fail(str(error), error.hint)
    if found.spool.parent == Path(found.lake) and not Path(found.lake).is_dir():
        terminal.fail(f"there is no feature log at {found.lake}", "name what `fovea serve --feature-log` was given")
    return found


@contextmanager
def reader(location: str, state: Path | None) -> Iterator[Reader]:
    """What can go wrong while it is read ends the command with one sentence."""
    found = places(location, state)
    import duckdb

    from fovea_server.feature_log.reading import Reader

    try:
        yield Reader(found)
    except duckdb.Error as error:
        terminal.fail(str(error).strip(), "the tables are records, feedback and joined: docs/feature-log.md")
    except (OSError, ValueError) as error:
        terminal.fail(f"the feature log at {found.shown} cannot be read: {error}")


def moment(text: str | None) -> datetime | None:
    """Ends the command where it is none, or has not come."""
    if text is None:
        return None
    from fovea_server.feature_log import moments

    try:
        return moments.read(text)
    except ValueError as error:
        wrong, _, hint = str(error).rpartition("; ")
        terminal.fail(wrong, hint, code=2)
