"""What the commands that study the traffic of a window have in common."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from fovea_server.cli import terminal

if TYPE_CHECKING:
    from fovea_server.studies.traffic.sources import LoggedWindow
    from fovea_server.studies.traffic.windows import Window

OneModel = Annotated[str | None, typer.Option("--model", "-m", help="One model; all that answered if not given.")]


def read(option: str, named: str, until: datetime) -> Window:
    """The window that was named; ends the command where it is none."""
    from fovea_server.studies.traffic import windows

    try:
        return windows.read(named, until)
    except ValueError as error:
        wrong, _, hint = str(error).rpartition("; ")
        terminal.fail(f"{option}: {wrong}", hint, code=2)


def models(source: LoggedWindow, only: str | None) -> list[str]:
    """Those that answered, or the one that was asked for; ends the command where it did not."""
    from fovea_server.studies.traffic import samples

    found = samples.models(source)
    if not found:
        held = source.anywhere()
        hint = f"what the log holds is from {held}" if held else "the log is empty: was the server started with it?"
        terminal.fail(f"nothing was answered from {source}", hint, code=2)
    if only is not None and only not in found:
        terminal.fail(f"{only} answered nothing from {source}", f"these did: {', '.join(found)}", code=2)
    return found if only is None else [only]
