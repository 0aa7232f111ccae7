"""What Linux says of this machine's CPU."""

from __future__ import annotations

import platform
from pathlib import Path


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
