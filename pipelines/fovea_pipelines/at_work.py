"""Since when a model's process has been at work on a batch: eight bytes in a file, for whoever watches over it.

Where several processes run one model, others answer while one hangs, so that answers alone do not show it.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER = "FOVEA_AT_WORK"  # the environment variable that names where the files are; each is called by a process id
_BEGAN = struct.Struct("=Q")  # nanoseconds of CLOCK_MONOTONIC; 0 at rest


class AtWork:
    """Of this process. Says nothing where nobody named a folder, or the folder has no room."""

    def __init__(self) -> None:
        self._file: int | None = None
        if folder := os.environ.get(FOLDER):
            with contextlib.suppress(OSError):
                self._file = os.open(Path(folder, str(os.getpid())), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                self._say(0)

    @contextlib.contextmanager
    def on_a_batch(self) -> Iterator[None]:
        self._say(time.monotonic_ns())
        try:
            yield
        finally:
            self._say(0)

    def _say(self, began: int) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.pwrite(self._file, _BEGAN.pack(began), 0)


def seconds(folder: Path, pid: int) -> float | None:
    """For how long the process has been at work on one batch, 0 at rest; None where it does not say."""
    try:
        (began,) = _BEGAN.unpack(Path(folder, str(pid)).read_bytes())
    except (OSError, struct.error):
        return None
    return (time.monotonic_ns() - began) / 1e9 if began else 0.0
