"""The state folder, for one command at a time that changes its models."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import typer

from fovea_server.cli import terminal


@contextmanager
def alone(state: Path) -> Iterator[Path]:
    """The state folder, while no other command changes its models."""
    from fovea_pipelines.adding import draft

    with ExitStack() as stack:
        try:
            state.mkdir(parents=True, exist_ok=True)
            _wait_for(stack.enter_context(open(state / "models.lock", "w", opener=_for_nobody_else)))
        except OSError as error:
            terminal.fail(f"{state} cannot be written: {error.strerror}", terminal.STATE_HINT)
        draft.sweep(state)
        yield state


def _for_nobody_else(path: str, flags: int) -> int:
    """Whoever may read a file may lock it, other users of the machine too."""
    descriptor = os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


def _wait_for(lock: TextIO) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        typer.echo("another `fovea models` command is at work; waiting for it", err=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
