"""The files that a gateway appends to: one at a time, of one day each, locked while they are written."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path

_SUFFIX = ".segment"
_NAME = re.compile(rf"\d{{4}}-\d\d-\d\d-\d{{20}}-\d+{re.escape(_SUFFIX)}\Z")
_DAY = 86_400  # seconds


@dataclass(frozen=True)
class Segment:
    path: Path

    @property
    def day(self) -> str:
        """The day of all its rows, as in 2026-11-21, UTC."""
        return self.path.name[:10]

    @property
    def size(self) -> int:
        """Bytes; 0 once it is gone."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0


class OpenSegment:
    """Rows of one day go to its end. OSError where the disk takes no more; what was half written is cut off."""

    def __init__(self, folder: Path, day: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.day = day
        self.opened = time.monotonic()
        self.path = folder / f"{day}-{time.time_ns():020d}-{os.getpid()}{_SUFFIX}"
        draft = self.path.with_suffix(".draft")
        self._file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            draft.rename(self.path)  # only now: nobody is to take it for one that is written no more
        except BaseException:
            os.close(self._file)
            draft.unlink(missing_ok=True)
            raise
        self.size = 0
        self._synced = 0

    def append(self, frames: bytes) -> None:
        written = 0
        try:
            while written < len(frames):
                written += os.write(self._file, memoryview(frames)[written:])
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.size += written

    def sync(self) -> None:
        """Onto the disk, where a power cut does not reach it."""
        if self.size != self._synced:
            os.fdatasync(self._file)
            self._synced = self.size

    def close(self) -> None:
        """Release it to whoever compacts; an empty one is removed."""
        if not self.size:
            self.path.unlink(missing_ok=True)
        os.close(self._file)


def day_of(moment: float) -> str:
    """The UTC day of a time in seconds since 1970."""
    return _name(int(moment // _DAY))


@lru_cache(maxsize=8)
def _name(day: int) -> str:
    return datetime.fromtimestamp(day * _DAY, timezone.utc).strftime("%Y-%m-%d")


def all_of(folder: Path) -> list[Segment]:
    """Oldest first; those that are being written too. What has a name that no gateway gives is none."""
    return [Segment(path) for path in sorted(folder.glob(f"*{_SUFFIX}")) if _NAME.match(path.name)]


def closed(folder: Path) -> Iterator[Segment]:
    """Those that nobody writes any more, because it was full, its gateway stopped, or was killed."""
    for segment in all_of(folder):
        try:
            with segment.path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                yield segment
        except (BlockingIOError, FileNotFoundError):
            continue


def ask_to_close(folder: Path) -> None:
    """Every gateway closes what it is writing, at its next look, within half a second."""
    folder.mkdir(parents=True, exist_ok=True)
    token = folder.parent / "close"
    token.touch()
    os.utime(token)


def asked_to_close(folder: Path) -> int:
    """When that was last asked, in nanoseconds; 0 for never."""
    try:
        return (folder.parent / "close").stat().st_mtime_ns
    except FileNotFoundError:
        return 0
