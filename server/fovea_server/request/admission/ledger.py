"""When each bucket will be full again, in memory that all gateway processes of a server share: a quota is one quota,
whichever of them the kernel gives a caller's connections to."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

_PLACES = 8192
_LOOKED_AT = 32  # places in which a bucket may be, from the one that its name says
_BYTES = 16 * _PLACES  # the names' hashes, 64 bits each, then the moments
_PATIENCE = 0.01  # seconds to wait for who holds it, which takes microseconds
_MOMENT = 0.0001  # seconds between two tries


def shared_memory() -> int:
    """An open file for the ledgers of several processes, which are given it as they start: it has no name, and is gone
    with the last of them. Raises OSError."""
    descriptor = os.memfd_create("fovea_quotas")
    # All of it now: who touches a part that there is no room for, even reading, is killed (SIGBUS).
    os.posix_fallocate(descriptor, 0, _BYTES)
    return descriptor


class Ledger:
    """`memory` is what `shared_memory` made; None is of this process alone.

    A bucket that is full is forgotten when another needs its place, which changes nothing. Where all places that a new
    one may have are taken, the one that is full soonest is forgotten.
    """

    def __init__(self, memory: int | None = None) -> None:
        self._descriptor = memory
        shown = memoryview(mmap.mmap(-1 if memory is None else memory, _BYTES))
        self._names = shown[: 8 * _PLACES].cast("Q")
        self._moments = shown[8 * _PLACES :].cast("d")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else reads or writes meanwhile. A process that dies lets go; for one that was stopped as it held it
        nobody waits long, and a charge may then be lost."""
        if self._descriptor is None:
            yield
            return
        is_ours = _lock(self._descriptor)
        try:
            yield
        finally:
            if is_ours:
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
        self._moments[place] = full_at
        self._names[place] = hashed

    def _place(self, hashed: int) -> int | None:
        return next((place for place in _places(hashed) if self._names[place] == hashed), None)


def _lock(descriptor: int) -> bool:
    """Whether it was to be had in time."""
    until = time.monotonic() + _PATIENCE
    while True:
        with contextlib.suppress(BlockingIOError, PermissionError):  # POSIX lets it be either
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() > until:
            return False
        time.sleep(_MOMENT)


def _hash(bucket: str) -> int:
    return int.from_bytes(blake2b(bucket.encode(), digest_size=8).digest(), "little")


def _places(hashed: int) -> Iterator[int]:
    return ((hashed + step) % _PLACES for step in range(_LOOKED_AT))
