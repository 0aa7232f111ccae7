"""The processes of a running tritonserver, as the kernel lists them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fovea_server.triton import process

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
