"""Whether processes have nothing to compute: they neither use the processor nor wait for it, nor for memory or a disk.

Used alone says little. On a machine that others keep busy, or that stood still as a whole, a process may get nothing of
a processor for seconds, and is not to blame.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from pathlib import Path

import psutil

_LOOKS = 5
_WAKING_UP = 0.04  # of a processor: one that waits in vain still wakes up now and then
_WANTS_TO_GO_ON = frozenset("RD")  # proc_pid_stat(5): runs or waits for a processor; waits for a disk or for memory


async def are_idle(pids: Collection[int], seconds: float) -> bool:
    """Whether these processes compute nothing for so long; one that is gone computes nothing."""
    before = _cpu_seconds(pids)
    for _ in range(_LOOKS):
        await asyncio.sleep(seconds / _LOOKS)
        if any(_wants_to_go_on(pid) for pid in pids):
            return False
    return _cpu_seconds(pids) - before < _WAKING_UP * seconds


def _wants_to_go_on(pid: int) -> bool:
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):  # it ended meanwhile
                # PID (NAME) STATE …, and the name may hold anything
                if (thread / "stat").read_text(errors="replace").rpartition(") ")[2][:1] in _WANTS_TO_GO_ON:
                    return True
    return False


def _cpu_seconds(pids: Collection[int]) -> float:
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total
