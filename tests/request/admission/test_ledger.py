"""Processes that share a ledger give together what one would, and full buckets make room without a loss."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from fovea_server.request.admission import ledger
from fovea_server.request.admission.ledger import Ledger

_CHARGES = """
import sys
from fovea_server.domain import Caller
from fovea_server.errors import QuotaExceeded
from fovea_server.request.admission import ledger
from fovea_server.request.admission.quotas import Quotas

ledger._PATIENCE = 20.0  # on a busy machine who holds it may not run for longer than is waited otherwise
quotas, caller, passed = Quotas(10.0, int(sys.argv[1])), Caller("alice", requests_per_second=100.0), 0
print("ready", flush=True)
sys.stdin.readline()
for _ in range(2000):
    try:
        quotas.charge(caller, 1.0, now=50.0)
        passed += 1
    except QuotaExceeded:
        pass
print(passed)
"""

_HOLDS = """
import fcntl, sys
fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = ledger.shared_memory()
    yield descriptor
    os.close(descriptor)


def _started(code: str, memory: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, str(memory)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, pass_fds=(memory,)
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")


def test_processes_together_give_exactly_one_quota(memory: int) -> None:
    ones = [_started(_CHARGES, memory) for _ in range(3)]
    try:
        assert [_line(one) for one in ones] == ["ready"] * 3
        for one in ones:
            _tell(one)
        passed = [int(one.communicate(timeout=120)[0]) for one in ones]
    finally:
        for one in ones:
            one.kill()
            one.wait()
    assert sum(passed) == 1000


def test_who_was_stopped_as_it_held_it_keeps_nobody_waiting(memory: int) -> None:
    holder, kept = _started(_HOLDS, memory), Ledger(memory)
    try:
        assert _line(holder) == "held"
        began = time.monotonic()
        with kept.held():
            kept.note("alice requests 1.0", 12.5)
        assert time.monotonic() - began < 5
        _tell(holder)
        holder.wait(timeout=60)
    finally:
        holder.kill()
        holder.wait()
    assert kept.full_at("alice requests 1.0") == 12.5


def test_what_one_notes_another_reads(memory: int) -> None:
    one, other = Ledger(memory), Ledger(memory)
    with one.held():
        one.note("alice requests 1.0", 12.5)
    with other.held():
        assert other.full_at("alice requests 1.0") == 12.5
        assert other.full_at("bob requests 1.0") == 0
    assert Ledger().full_at("alice requests 1.0") == 0


def test_the_bucket_that_is_full_soonest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_PLACES", 16)
    monkeypatch.setattr(ledger, "_BYTES", 256)
    monkeypatch.setattr(ledger, "_LOOKED_AT", 16)
    kept = Ledger()
    for number in range(16):
        kept.note(f"bucket {number}", 100.0 + number)
    assert [kept.full_at(f"bucket {number}") for number in range(16)] == [100.0 + number for number in range(16)]
    kept.note("new", 200.0)
    assert [kept.full_at(f"bucket {number}") for number in range(3)] == [0, 101, 102]
    assert kept.full_at("new") == 200
