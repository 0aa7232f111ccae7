"""Which requests nobody waits for any more: a board in shared memory that a gateway writes and the models read.

Triton's HTTP server reads nothing from a connection whose request is at work, so it does not notice that a caller went
away; and to ask Triton from within a model costs a round trip to its process for each image.
"""

from __future__ import annotations

import functools
import itertools
import mmap
import os
import re
import secrets
from pathlib import Path

_FOLDER = Path("/dev/shm")  # noqa: S108  (where Linux keeps shared memory)
_PLACES = 4096  # more than are ever under way at once; in each the number of the ticket that was withdrawn last
_BYTES = 8 * _PLACES
_TICKET = re.compile(r"(\d+_[0-9a-f]{8}):(\d+)")


class Board:
    """Of one process. `ticket` is for one request; `withdraw` says that nobody waits for it any more.

    The file's name begins as all of a gateway's in shared memory, with its process id: what was killed is swept.
    """

    def __init__(self) -> None:
        self._name = f"{os.getpid()}_{secrets.token_hex(4)}"
        self._numbers = itertools.count(1)
        self._file = _file(self._name)
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, _BYTES)
            self._withdrawn = memoryview(mmap.mmap(descriptor, _BYTES)).cast("Q")
        finally:
            os.close(descriptor)

    def ticket(self) -> str:
        return f"{self._name}:{next(self._numbers)}"

    def withdraw(self, ticket: str) -> None:
        number = int(ticket.rpartition(":")[2])
        self._withdrawn[number % _PLACES] = number

    def close(self) -> None:
        self._file.unlink(missing_ok=True)


def is_withdrawn(ticket: str) -> bool:
    """False also where the ticket is of no board that this process can read."""
    said = _TICKET.fullmatch(ticket)
    board = _board(said[1]) if said else None
    if said is None or board is None:
        return False
    number = int(said[2])
    return board[number % _PLACES] == number


@functools.lru_cache(maxsize=64)
def _board(name: str) -> memoryview | None:
    try:
        with _file(name).open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), _BYTES, access=mmap.ACCESS_READ)).cast("Q")
    except (OSError, ValueError):
        return None


def _file(name: str) -> Path:
    return _FOLDER / f"fovea_{name}_withdrawn"
