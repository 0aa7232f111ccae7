"""When each bucket will be full again, in memory that all gateway processes of a server share: a quota is one quota,
whichever of them the kernel gives a caller's connections to."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from fovea_server.errors import StartError

_PLACES = 8192
_LOOKED_AT = 32  # places in which a bucket may be, from the one that its name says
_BYTES = 16 * _PLACES  # the names' hashes, 64 bits each, then the moments


class Ledger:
    """`file` is made where it is missing; None is memory of this process alone. Raises StartError where it has no room.

    A bucket that is full is forgotten when another needs its place, which changes nothing. Where all places that a new
    one may have are taken, the one that is full soonest is forgotten.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._descriptor = -1
        if file is not None:
            self._descriptor = _opened(file)
        memory = memoryview(mmap.mmap(self._descriptor, _BYTES))
        self._names = memory[: 8 * _PLACES].cast("Q")
        self._moments = memory[8 * _PLACES :].cast("d")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else reads or writes meanwhile. A process that dies lets go."""
        if self._descriptor < 0:
            yield
            return
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def full_at(self, bucket: str) -> float:
        """The moment noted last; long past for one that nothing is known of."""
        hashed = _hash(bucket)
        place = self._place(hashed)
        return 0.0 if place is None else self._moments[place]

    def note(self, bucket: str, full_at: float) -> None:
        hashed = _hash(bucket)
        place = self._place(hashed)
        if place is None:
            place = min(_places(hashed), key=self._moments.__getitem__)
            self._names[place] = hashed
        self._moments[place] = full_at

    def _place(self, hashed: int) -> int | None:
        return next((place for place in _places(hashed) if self._names[place] == hashed), None)


def _opened(file: Path) -> int:
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # All of it now: who touches a part that there is no room for, even reading, is killed (SIGBUS).
        os.posix_fallocate(descriptor, 0, _BYTES)
    except OSError as error:
        raise StartError(
            f"the gateway processes cannot count quotas together, which takes {_BYTES:,} bytes: {error}",
            hint="make room there, or serve with `--workers 1`",
        ) from error
    return descriptor


def _hash(bucket: str) -> int:
    return int.from_bytes(blake2b(bucket.encode(), digest_size=8).digest(), "little")


def _places(hashed: int) -> Iterator[int]:
    return ((hashed + step) % _PLACES for step in range(_LOOKED_AT))
