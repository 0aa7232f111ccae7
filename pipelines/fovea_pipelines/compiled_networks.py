"""Compiled networks kept on the disk, so that a process that starts or is revived need not compile them again.

OpenVINO's own cache (CACHE_DIR) writes into the very file that another process may be reading, and believes what it
reads; here a file appears whole, and is only believed if its bytes are those that were written.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import IO

_DIGEST = hashlib.blake2b().digest_size
_DRAFT = "draft-"
_HOUR = 3_600.0  # so long that a crash is rare, so short that one killed by chance is soon forgotten


class Trial:
    """The blob of a network, and what became of those who tried it.

    A file beside the blob, locked, says that it is being tried; whoever dies over it leaves that file behind, unlocked.
    """

    def __init__(self, path: Path, blob: bytes, marker: IO[bytes]) -> None:
        self.blob = blob
        self._path = path
        self._marker = marker

    def passed(self) -> None:
        self._end()
        with contextlib.suppress(OSError):
            os.utime(self._path)

    def failed(self) -> None:
        """It is of no use to anybody."""
        self._end()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            Path(self._marker.name).unlink()
        self._marker.close()


class CompiledNetworks:
    """Blobs by key (a name of a file without a dot), in one folder that any number of processes share. At most
    `most_bytes` stay, the last used ones.

    What cannot be read or written is as if it had not been kept. Where another user may write to the folder or the one
    it lies in, nothing is kept: a compiled network is code.
    """

    def __init__(self, folder: Path, most_bytes: int = 1 << 30) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    def find(self, key: str) -> Trial | None:
        """What is kept under the key, to be tried; None where nothing is, or where trying it ended a process within the
        last hour: what does harm must not be met at every start."""
        path = self._folder / key
        with contextlib.suppress(OSError):
            if self._is_safe() and path.is_file() and not self._did_harm(key):
                with path.open("rb") as file:
                    digest, blob = file.read(_DIGEST), file.read()
                if hashlib.blake2b(blob).digest() == digest:
                    return Trial(path, blob, self._marker(key))
                path.unlink()
        return None

    def write(self, key: str, blob: bytes) -> None:
        if len(blob) > self._most_bytes:
            return
        with contextlib.suppress(OSError):
            for folder in (self._folder.parent, self._folder):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._is_safe() and not self._did_harm(key):
                self._put(self._folder / key, blob)
                self._forget_the_oldest()

    def _put(self, path: Path, blob: bytes) -> None:
        with tempfile.NamedTemporaryFile(prefix=_DRAFT, dir=self._folder, delete=False) as draft:
            try:
                draft.write(hashlib.blake2b(blob).digest())
                draft.write(blob)
                draft.flush()
                Path(draft.name).replace(path)
            except OSError:
                Path(draft.name).unlink()
                raise

    def _marker(self, key: str) -> IO[bytes]:
        marker = tempfile.NamedTemporaryFile(prefix=f"{key}.", dir=self._folder, delete=False)  # noqa: SIM115
        try:
            fcntl.flock(marker, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            marker.close()
            Path(marker.name).unlink()
            raise
        return marker

    def _did_harm(self, key: str) -> bool:
        """Whether somebody who tried it is gone without a word."""
        for marker in self._folder.glob(f"{key}.*"):
            with contextlib.suppress(BlockingIOError, FileNotFoundError), marker.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - marker.stat().st_mtime < _HOUR:
                    return True
                marker.unlink()
        return False

    def _is_safe(self) -> bool:
        return all(
            status.st_uid == os.geteuid() and not status.st_mode & 0o022
            for status in (self._folder.lstat(), self._folder.parent.lstat())
        )

    def _forget_the_oldest(self) -> None:
        """Drafts of those who died over them are among them."""
        files = [(file, file.stat()) for file in self._folder.iterdir() if "." not in file.name]
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
