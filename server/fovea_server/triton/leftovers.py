"""What a tritonserver leaves behind when it is killed, and the room it needs in shared memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import psutil

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (where Linux keeps it)
MORE_ROOM = "free some; a container has more with --shm-size=256m"
_TEMPORARY = Path("/tmp")  # noqa: S108  (Triton's Python backend looks nowhere else: pb_env.cc)
_ENVIRONMENTS = "python_env_"  # followed by six letters; nothing in the name says whose it is


def free_shared_memory() -> int:
    """Bytes that are free in /dev/shm."""
    room = os.statvfs(SHARED_MEMORY)
    return room.f_bavail * room.f_frsize


def python_environments() -> set[Path]:
    """The folders that the Python backends of this machine have made."""
    return set(_TEMPORARY.glob(f"{_ENVIRONMENTS}*"))


def remove_environments(folders: Iterable[Path]) -> None:
    """Those of the folders that are empty, and older than every tritonserver that is still running.

    They were seen to come while a tritonserver of ours started. Another that started at the same moment may have made
    one of them: while that one lives, its folder stays.
    """
    everyone = psutil.process_iter(["name", "create_time"])
    alive = [process.info["create_time"] for process in everyone if _is_triton(process)]
    for folder in folders:
        with contextlib.suppress(OSError):  # gone already, or not empty
            if all(folder.stat().st_ctime < began for began in alive):
                folder.rmdir()


def _is_triton(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.info["name"] == "tritonserver" and process.status() != psutil.STATUS_ZOMBIE
    return False
