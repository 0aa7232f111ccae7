"""A run of tritonserver: its processes as the kernel lists them, its log, and what killed gateways left of theirs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.triton.scripts import installation

from fovea_server.triton import process
from fovea_server.triton.process import TritonProcess, TritonSettings

# A parent that starts a child from a thread, as Triton does, and says who it is.
_PARENT = """
import subprocess, sys, threading
made = []
def start():
    made.append(subprocess.Popen(["sleep", "60"]))
    print(made[0].pid, flush=True)
    sys.stdin.read()
thread = threading.Thread(target=start); thread.start(); thread.join()
made[0].kill(); made[0].wait()
"""


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """The ids of a process and of its one child, which another thread than its first one started."""
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        yield parent.pid, int(parent.stdout.readline())
        parent.communicate()


def test_children_of_any_thread_are_found(family: tuple[int, int]) -> None:
    parent, child = family
    assert process._children(parent) == [child]


def test_they_are_found_where_the_kernel_keeps_no_list(
    family: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(path: Path, *_: object) -> str:
        raise FileNotFoundError(path)

    parent, child = family
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", missing)
        found = process._children(parent)
    assert found == [child]


def test_a_process_that_is_gone_has_no_children() -> None:
    assert process._children(2**22 + 1) == []


async def test_a_line_of_its_log_that_is_too_long_does_not_hold_it_up(tmp_path: Path) -> None:
    long = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo 'E1122 10:00:00.000000 1 here.cc:1] the end'"
    triton = TritonProcess(installation(tmp_path, long), [tmp_path], [], TritonSettings(), key="")
    await triton.start()
    try:
        assert await asyncio.wait_for(triton.wait(), 10) == 0
        assert await triton.last_complaint() == "the end"
    finally:
        await triton.clean_up()


def test_what_a_killed_gateway_left_is_swept_and_what_a_living_one_uses_is_not() -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    temporary, shared = Path(tempfile.gettempdir()), Path("/dev/shm")
    left = [temporary / f"fovea-triton_{int(dead.stdout)}_x", shared / f"fovea_{int(dead.stdout)}_x"]
    used = [temporary / f"fovea-triton_{os.getpid()}_x", shared / f"fovea_{os.getpid()}_x"]
    try:
        for folder in (left[0], used[0]):
            folder.mkdir()
        for region in (left[1], used[1]):
            region.write_bytes(bytes(10))
        process.sweep()
        assert not any(path.exists() for path in left)
        assert all(path.exists() for path in used)
    finally:
        used[0].rmdir()
        used[1].unlink()


def test_what_others_call_as_we_do_is_left_alone_whatever_its_name() -> None:
    odd = [Path("/dev/shm", name) for name in ("fovea_²_x", "fovea_999999999999_x", "fovea_1", "fovea__x")]
    others = Path(f"/dev/shm/fovea_{2**22 + 1}_x")  # a process id that Linux does not give
    try:
        for path in (*odd, others):
            path.write_bytes(b"")
        if os.geteuid() == 0:
            os.chown(others, 12345, 12345)
        process.sweep()
        assert all(path.exists() for path in odd)
        assert others.exists() == (os.geteuid() == 0)
    finally:
        for path in (*odd, others):
            path.unlink(missing_ok=True)
