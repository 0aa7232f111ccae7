"""What Linux says of this machine's CPU, and how much of it is ours."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def described() -> dict[str, str]:
    """The first core's part of /proc/cpuinfo, such as "model name"; nothing where Linux does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}


def name() -> str:
    """As its maker calls it; only the architecture where Linux does not say."""
    return described().get("model name") or platform.machine()


def flags() -> frozenset[str]:
    """Its instruction sets, such as "avx512_vnni"."""
    return frozenset(described().get("flags", "").split())


def share(cores: int, instances: int) -> int:
    """Threads of each of several processes that share the cores; none of which stays idle."""
    return -(-cores // max(instances, 1))


def available(root: Path = Path("/")) -> int:
    """CPUs that this process may use: those it may run on, or fewer where its control groups have a quota of CPU time,
    as a container's limit is: more threads than that are stopped for the rest of each period, all at once.

    A part of a CPU counts as one. Source: the kernel's cgroup-v2.rst (cpu.max) and sched-bwc.rst (cpu.cfs_quota_us).
    """
    return min([len(os.sched_getaffinity(0)), *(max(math.ceil(quota), 1) for quota in _quotas(root))])


def _quotas(root: Path) -> Iterator[float]:
    """CPUs that each control group around this process may use, where it has a limit."""
    for folder in _groups(root):
        try:
            limit, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            try:
                limit, period = ((folder / f"cpu.cfs_{each}_us").read_text() for each in ("quota", "period"))
            except OSError:
                continue
        if limit != "max" and float(limit) > 0:
            yield float(limit) / float(period)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of this process's control groups for the CPU, and those around them. In a container the names are
    the host's, while the folders begin at the container's own."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounted = root / "sys/fs/cgroup" / controllers
        inner = PurePosixPath(name.lstrip("/"))
        for each in (inner, *inner.parents):
            yield mounted / each
