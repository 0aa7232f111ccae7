"""Write a local file whole or not at all: as a draft beside it, put onto the disk, then given its name."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write(path: Path, content: bytes, *, mode: int = 0o666, durable: bool = True) -> None:
    """In place of what is there: who reads meanwhile finds the old content or the new. The folder must be there.

    `mode` is the file's, less the umask: 0o600 is for its owner alone. Without `durable` nobody waits for the disk, and
    a power cut soon after may leave it empty. Raises OSError; what was there then stays, and no draft is left.
    """
    with _draft(path, content, mode, durable) as draft:
        draft.replace(path)


def write_once(path: Path, content: bytes, *, mode: int = 0o666, durable: bool = True) -> bool:
    """The same where nothing is there yet, of several processes for the first; whether this was the one."""
    with _draft(path, content, mode, durable) as draft:
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return False
    return True


@contextmanager
def _draft(path: Path, content: bytes, mode: int, durable: bool) -> Iterator[Path]:
    """A file with the content, to be given its name in the block; no other process or thread has one of that name."""
    draft = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.draft")
    try:
        with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        yield draft
        if durable:
            with contextlib.suppress(OSError):  # it has its name; not every file system syncs a folder
                _sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def _sync(folder: Path) -> None:
    """The names in it, onto the disk."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
