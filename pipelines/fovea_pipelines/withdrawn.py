"""Which requests nobody waits for any more: a board in shared memory that a gateway writes and the models read.

Triton's HTTP server reads nothing from a connection whose request is at work, so it does not notice that a caller went
away; and to ask Triton from within a model costs a round trip to its process for each image.
"""

from __future__ import annotations

import itertools
import mmap
import os
import re
import secrets
import stat
from pathlib import Path

_FOLDER = Path("/dev/shm")  # noqa: S108  (where Linux keeps shared memory)
_PLACES = 4096  # more than are ever under way at once; in each the number of the ticket that was withdrawn last
_BYTES = 8 * _PLACES
_TICKET = re.compile(r"([0-9]{1,10}_[0-9a-f]{8}):([0-9]{1,18})")
_KEPT = 64  # boards that a reader keeps open: one for each gateway process

_boards: dict[str, memoryview] = {}


class Board:
    """Of one process. `ticket` is for one request; `withdraw` says that nobody waits for it any more.

    Its file's name begins as all of a gateway's in shared memory, with its process id: what was killed is swept. Raises
    OSError where shared memory is full.
    """

    def __init__(self) -> None:
        self._name = f"{os.getpid()}_{secrets.token_hex(4)}"
        self._numbers = itertools.count(1)
        self._file = _file(self._name)
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # All of it now: who touches a part that there is no room for, even reading, is killed (SIGBUS).
            os.posix_fallocate(descriptor, 0, _BYTES)
            self._withdrawn = memoryview(mmap.mmap(descriptor, _BYTES)).cast("Q")
        except OSError:
            self.close()
            raise
        finally:
            os.close(descriptor)

    def ticket(self) -> str:
        return f"{self._name}:{next(self._numbers)}"

    def withdraw(self, ticket: str) -> None:
        number = int(ticket.rpartition(":")[2])
        self._withdrawn[number % _PLACES] = number

    def close(self) -> None:
        self._file.unlink(missing_ok=True)


def is_withdrawn(ticket: object) -> bool:
    """False also of what is no ticket, and where it is of no board of this user's: strangers may send anything."""
    said = _TICKET.fullmatch(ticket) if isinstance(ticket, str) else None
    board = _board(said[1]) if said else None
    if said is None or board is None:
        return False
    number = int(said[2])
    return board[number % _PLACES] == number


def _board(name: str) -> memoryview | None:
    if name not in _boards:
        try:
            opened = _opened(name)
        except OSError:
            return None
        if len(_boards) == _KEPT:
            del _boards[next(iter(_boards))]
        _boards[name] = opened
    return _boards[name]


def _opened(name: str) -> memoryview:
    descriptor = os.open(_file(name), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_size != _BYTES:
            raise OSError(f"{_file(name)} is no board of this user's")
        return memoryview(mmap.mmap(descriptor, _BYTES, access=mmap.ACCESS_READ)).cast("Q")
    finally:
        os.close(descriptor)


def _file(name: str) -> Path:
    return _FOLDER / f"fovea_{name}_withdrawn"
