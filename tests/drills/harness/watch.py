"""What a server holds while a drill runs: memory, file descriptors, shared memory, processes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

_PERIOD = 0.5
_SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Holding:
    """Of the server's whole process tree at one moment. Memory is the proportional set size, in which shared pages
    count once, less what is mapped from files: the share of a library's pages grows whenever a stranger that has mapped
    it, too, ends.

    `gateway_mb` is of all that is not Triton.
    """

    at: float
    memory_mb: float
    gateway_mb: float
    descriptors: int
    shared_memory_mb: float
    processes: int


class Watch:
    """Looks twice a second while the `with` block runs; `seen` are the looks. Of what comes and goes between them the
    kernel keeps the peaks."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_again, daemon=True)
        self.seen: list[Holding] = []
        self._before: dict[psutil.Process, int] = {}
        self._peaks_mb = 0.0

    def __enter__(self) -> Watch:
        self.seen.append(look(self._pid))
        root = psutil.Process(self._pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                _forget_peak(process)
                self._before[process] = process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if kind is None:
            self.seen.append(look(self._pid))
            peaks = (max(_peak(process) - before, 0) for process, before in self._before.items())
            self._peaks_mb = sum(peaks) / 1e6

    @property
    def peak_growth_mb(self) -> float:
        """The highest memory above the first look, or each process's peak above what it had, if that is more."""
        seen = max(holding.memory_mb for holding in self.seen) - self.seen[0].memory_mb
        return max(seen, self._peaks_mb)

    def between(self, begin: float, end: float) -> list[Holding]:
        return [holding for holding in self.seen if begin <= holding.at < end]

    def _look_again(self) -> None:
        while not self._stop.wait(_PERIOD):
            with contextlib.suppress(psutil.NoSuchProcess):
                self.seen.append(look(self._pid))


def look(pid: int) -> Holding:
    root = psutil.Process(pid)
    gateways, engine = [root], []
    for child in root.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            (engine if child.name() == "tritonserver" else gateways).extend([child, *child.children(recursive=True)])
    gateway = _total(gateways, _memory)
    return Holding(
        at=time.monotonic(),
        memory_mb=(gateway + _total(engine, _memory)) / 1e6,
        gateway_mb=gateway / 1e6,
        descriptors=_total([*gateways, *engine], psutil.Process.num_fds),
        shared_memory_mb=_shared_memory(pid) / 1e6,
        processes=len(gateways) + len(engine),
    )


def _total(processes: Sequence[psutil.Process], of: Callable[[psutil.Process], int]) -> int:
    """The sum over those that are still there."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess, FileNotFoundError, ProcessLookupError):
            total += of(process)
    return total


def _memory(process: psutil.Process) -> int:
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    sizes = {name: int(size.split()[0]) for name, _, size in (line.partition(":") for line in rollup[1:])}
    return (sizes.get("Pss", 0) - sizes.get("Pss_File", 0)) * 1024  # a process that has ended has none


def _forget_peak(process: psutil.Process) -> None:
    """From now on VmHWM is the most that was resident since (proc_pid_clear_refs, 5)."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def _peak(process: psutil.Process) -> int:
    """VmHWM in bytes; 0 of a process that is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _shared_memory(pid: int) -> int:
    """Bytes of the regions that Triton made for this server: their names carry the gateway's pid."""
    total = 0
    for region in _SHARED_MEMORY.glob(f"fovea*{pid}_*"):
        with contextlib.suppress(FileNotFoundError):
            total += region.stat().st_blocks * 512
    return total
