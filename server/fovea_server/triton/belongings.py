"""Files and folders that go with the process that made them: locked while it lives, left for the next one to remove.

A lock (flock(2)) ends with the process that holds it, however that ends, and is seen by whoever sees the file: by other
containers too, to which a process id says nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_locks: dict[Path, int] = {}  # the open files that hold them


def new_folder(where: Path, prefix: str) -> Path:
    """For this user alone, and held. Raises OSError."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=where))
        if hold(folder):  # else somebody who sweeps was quicker
            return folder


def hold(path: Path) -> bool:
    """Lock it until it is let go of, or this process ends; whether it is there. Raises OSError."""
    let_go(path)
    try:
        descriptor = _opened(path)
    except FileNotFoundError:
        return False
    with contextlib.suppress(OSError):  # a file system without locks: there nobody gets one, and nothing is swept
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    if not path.exists():
        os.close(descriptor)
        return False
    _locks[path] = descriptor
    return True


def let_go(path: Path) -> None:
    if path in _locks:
        os.close(_locks.pop(path))


@contextlib.contextmanager
def taken_over(path: Path) -> Iterator[None]:
    """While the block lasts nobody else has it. Raises OSError where who holds it lives, or it is gone."""
    descriptor = _opened(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """A file, or a folder with all that is in it; what cannot be removed stays."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
    let_go(path)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
