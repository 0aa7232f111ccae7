"""Be woken when one of some processes ends, be they children of ours or not (pidfd_open(2), Linux 5.3)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable


class Endings:
    """Sets `ended` when a followed process ends. Where the kernel has no pidfds it never does, and others must look."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self._descriptors: dict[int, int] = {}  # by process id

    def follow(self, pids: Iterable[int]) -> None:
        """From now on these processes, and no others."""
        wanted = set(pids)
        for pid in self._descriptors.keys() - wanted:
            self._leave(pid)
        for pid in wanted - self._descriptors.keys():
            with contextlib.suppress(OSError):
                self._descriptors[pid] = os.pidfd_open(pid)
                asyncio.get_running_loop().add_reader(self._descriptors[pid], self._on_end, pid)

    def close(self) -> None:
        self.follow(())

    def _on_end(self, pid: int) -> None:
        self._leave(pid)
        self.ended.set()

    def _leave(self, pid: int) -> None:
        descriptor = self._descriptors.pop(pid)
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
