"""Compiled networks kept on the disk, so that a process that starts or is revived need not compile them again.

OpenVINO's own cache (CACHE_DIR) writes into the very file that another process may be reading, and believes what it
reads; here a file appears whole, and is only believed if its bytes are those that were written.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

_DIGEST = hashlib.blake2b().digest_size


class CompiledNetworks:
    """Blobs by key, in one folder that any number of processes share. At most `most_bytes` stay, the last used ones.

    What cannot be read or written is as if it had not been kept. Where another user may write to the folder, nothing
    is kept: a compiled network is code.
    """

    def __init__(self, folder: Path, most_bytes: int = 1 << 30) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    @contextlib.contextmanager
    def tried(self, key: str) -> Iterator[bytes | None]:
        """The blob of this key, None where none is kept.

        While it is tried it lies aside, and comes back unless that raised, or ended the process: what did harm once
        must not be met again at every start.
        """
        path = self._folder / key
        aside = path.with_name(f"{key}.{os.getpid()}")
        yield self._taken(path, aside)
        with contextlib.suppress(OSError):
            os.utime(aside)
            aside.replace(path)

    def write(self, key: str, blob: bytes) -> None:
        aside = self._folder / f"{key}.{os.getpid()}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._is_safe():
                return
            aside.write_bytes(hashlib.blake2b(blob).digest() + blob)
            aside.replace(self._folder / key)
            self._forget_the_oldest()
        except OSError:
            with contextlib.suppress(OSError):
                aside.unlink()

    def _taken(self, path: Path, aside: Path) -> bytes | None:
        with contextlib.suppress(OSError):
            if self._is_safe():
                path.replace(aside)
                content = aside.read_bytes()
                if hashlib.blake2b(content[_DIGEST:]).digest() == content[:_DIGEST]:
                    return content[_DIGEST:]
                aside.unlink()
        return None

    def _is_safe(self) -> bool:
        status = self._folder.stat()
        return status.st_uid == os.geteuid() and not status.st_mode & 0o022

    def _forget_the_oldest(self) -> None:
        files = [(file, file.stat()) for file in self._folder.iterdir()]
        total = 0
        for file, status in sorted(files, key=lambda each: each[1].st_mtime, reverse=True):
            total += status.st_size
            if total > self._most_bytes:
                file.unlink()


def of_this_user() -> CompiledNetworks | None:
    """In the user's cache folder, as the XDG Base Directory Specification has it; None for who has no home."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # which the specification says to ignore
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    return CompiledNetworks(base / "fovea" / "compiled")
