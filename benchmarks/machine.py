"""Which machine a result belongs to: what bears on speed, nothing that names the machine or its owner."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from typing import Any

import psutil

from benchmarks.photographs import CHECKOUT
from fovea_pipelines import cpu

_PACKAGES = ("fovea-server", "nvidia-pytriton", "nvidia-dali-cuda130", "openvino", "numpy", "grpcio", "uvicorn")
# What a model's name has besides its name.
_NOISE = re.compile(r"\((r|tm)\)|\b(cpu|processor|[0-9]+-core)\b|@.*")
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")  # what OpenVINO's speed hangs on


def describe() -> dict[str, Any]:
    return {
        "cpu": cpu.name(),
        "cpu_flags": [flag for flag in _FLAGS if flag in cpu.flags()],
        "cores": _cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "kernel": platform.release(),
        "glibc": platform.libc_ver()[1],
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := version(name))},
        "commit": _commit(),
    }


def word() -> str:
    """A short name for file names: "cpu2-amd-epyc" is two cores of such a CPU."""
    model = _NOISE.sub(" ", cpu.name().lower())
    return "-".join([f"cpu{_cores()}", *re.findall(r"[a-z0-9]+", model)])


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def version(package: str) -> str | None:
    """Of an installed package; None where it is not."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit measured, with "+" where the checkout had changes."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
