"""Accounting for a process tree, on real children."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from benchmarks.errors import ServerNotReady
from benchmarks.processes import Meter, tree

# A parent that holds 50 MB and does nothing, with a child that burns CPU time until it is stopped.
_BURN = "import sys; print(flush=True)\nwhile True: pass"
_FAMILY = f"""
import subprocess, sys
held = bytearray(50_000_000)
child = subprocess.Popen([sys.executable, "-c", {_BURN!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(flush=True)
sys.stdin.read()
child.kill()
"""


@pytest.fixture
def family() -> Iterator[int]:
    """The pid of the parent; both are gone afterwards."""
    process = subprocess.Popen([sys.executable, "-c", _FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process.pid
    process.communicate(timeout=10)


def test_a_childs_cpu_time_and_memory_are_its_parents_too(family: int) -> None:
    with Meter(family) as meter:
        before, deadline = _cpu_seconds(family), time.monotonic() + 10
        while (spent := _cpu_seconds(family) - before) < 0.3 and time.monotonic() < deadline:
            time.sleep(0.02)
    assert meter.cost.processes == 2
    assert spent - 0.001 < meter.cost.cpu_seconds < spent + 1.0
    assert 50 < meter.cost.peak_memory_mb < 200


def test_cpu_time_from_before_is_not_counted(family: int) -> None:
    while _cpu_seconds(family) < 0.2:
        time.sleep(0.02)
    with Meter(family) as meter:
        pass
    assert meter.cost.cpu_seconds < 0.15


def test_a_tree_has_its_root_first(family: int) -> None:
    root, child = tree(family)
    assert (root.pid, child.ppid()) == (family, family)


def test_a_process_that_ends_meanwhile_is_said_to_be_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    with pytest.raises(ServerNotReady, match=f"process {process.pid} is gone"), Meter(process.pid):
        process.communicate(timeout=10)


def test_a_process_that_ended_is_gone_even_before_its_parent_asks_how() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()  # until it closes, at its end
    with pytest.raises(ServerNotReady, match="is gone"):
        _until_gone(process.pid)
    process.wait()


def _until_gone(pid: int) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        tree(pid)
        time.sleep(0.01)


def _cpu_seconds(pid: int) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in tree(pid)))
