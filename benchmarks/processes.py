"""What a server costs: CPU time and memory of a process and everything below it.

Run alone to watch one: `python -m benchmarks.processes --pid 1234 --seconds 10`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
import time
from dataclasses import dataclass
from types import TracebackType

import psutil

from benchmarks.errors import ServerNotReady, exit_code

_PERIOD = 2.0  # seconds between looks; a look costs about 3 ms a process, most of it for the memory
GATEWAY = "gateway"
KEEPER = "keeper"
_FOLLOWER = "fovea_server.workers.follower"  # in the command line of each gateway process but the first
_KEEPER = "fovea_server.feature_log.keeper"
_Identity = tuple[int, float]  # a pid and when it began: pids are used again


@dataclass(frozen=True)
class Cost:
    """`others_percent` is the share of all cores that neither these processes nor we ourselves took."""

    cpu_seconds: float
    peak_memory_mb: float
    processes: int
    others_percent: float


class Meter:
    """Accounts for a process tree while the `with` block runs; `cost` is there afterwards.

    CPU is user and system time. Memory is the proportional set size, summed: a page that four processes share counts
    once. Processes that come or go meanwhile are counted as far as they were seen.
    """

    cost: Cost

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stop = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="meter", daemon=True)

    def __enter__(self) -> Meter:
        self._peak = 0
        self._processes = 0
        self._latest: dict[_Identity, float] = {}
        self._look()
        self._first = dict(self._latest)
        self._began = time.monotonic()
        self._machine = _busy_seconds()
        self._own = _own_seconds()
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._sampler.join()
        if kind is None:
            self._look()
        spent = sum(seconds - self._first.get(who, 0.0) for who, seconds in self._latest.items())
        available = (time.monotonic() - self._began) * (psutil.cpu_count() or 1)
        ours = 0.0 if self._pid == os.getpid() else _own_seconds() - self._own
        others = _busy_seconds() - self._machine - spent - ours
        self.cost = Cost(
            cpu_seconds=spent,
            peak_memory_mb=round(self._peak / 1e6, 1),
            processes=self._processes,
            others_percent=round(max(100 * others / available, 0.0), 1),
        )

    def _sample(self) -> None:
        while not self._stop.wait(_PERIOD):
            try:
                self._look()
            except ServerNotReady:
                return  # the last look, in __exit__, says so to the caller

    def _look(self) -> None:
        memory, processes = 0, 0
        for process in tree(self._pid):
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    who = (process.pid, process.create_time())
                memory += process.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
            self._latest[who] = times.user + times.system
            processes += 1
        self._peak = max(self._peak, memory)
        self._processes = max(self._processes, processes)


def memory_mb(pid: int) -> float:
    """Proportional set size of the process and all below it, now."""
    held = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            held += process.memory_full_info().pss
    return round(held / 1e6, 1)


def tree(pid: int) -> list[psutil.Process]:
    """The process and all below it."""
    try:
        root = psutil.Process(pid)
        if root.status() == psutil.STATUS_ZOMBIE:  # ended; only its parent has not asked how
            raise psutil.NoSuchProcess(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess as error:
        raise ServerNotReady(f"process {pid} is gone", "read the server's log for why it ended") from error


def by_role(pid: int) -> dict[str, float]:
    """CPU seconds until now of a served Fovea's processes, by what each is: "gateway 0", "gateway 1", "tritonserver",
    "keeper" (of the feature log), and "backend" for the processes of its models together."""
    spent: dict[str, float] = {}
    for process in tree(pid):
        try:
            times = process.cpu_times()
            role = _role(process, pid)
        except psutil.NoSuchProcess:
            continue
        spent[role] = spent.get(role, 0.0) + times.user + times.system
    return spent


def _role(process: psutil.Process, first: int) -> str:
    if process.pid == first:
        return f"{GATEWAY} 0"
    words = process.cmdline()
    if _FOLLOWER in words:
        return f"{GATEWAY} {words[words.index(_FOLLOWER) + 2]}"
    if _KEEPER in words:
        return KEEPER
    return "tritonserver" if process.name() == "tritonserver" else "backend"


def _busy_seconds() -> float:
    """CPU time of everything on this machine, since it started."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def _own_seconds() -> float:
    """CPU time of this process and of the generators it ran, once they have ended."""
    times = psutil.Process().cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time and peak memory of a process and everything below it.")
    parser.add_argument("--pid", type=int, required=True, help="the topmost process, such as that of `fovea serve`")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to watch (default: 10)")
    arguments = parser.parse_args()
    with Meter(arguments.pid) as meter:
        time.sleep(arguments.seconds)
    cost = meter.cost
    print(f"{cost.processes} processes, {cost.cpu_seconds:.2f} CPU-s, peak {cost.peak_memory_mb:.0f} MB")


if __name__ == "__main__":
    sys.exit(exit_code(main))
