"""Processes that share a ledger give together what one would, and full buckets make room without a loss."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fovea_server.errors import StartError
from fovea_server.request.admission import ledger
from fovea_server.request.admission.ledger import Ledger

_CHARGES = """
import sys
from pathlib import Path
from fovea_server.domain import Caller
from fovea_server.errors import QuotaExceeded
from fovea_server.request.admission.quotas import Quotas

quotas, caller, passed = Quotas(10.0, Path(sys.argv[1])), Caller("alice", requests_per_second=100.0), 0
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


def test_processes_together_give_exactly_one_quota(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _CHARGES, str(tmp_path / "quotas")]
    ones = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        for one in ones:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        # None has finished before the last begins.
        passed = [int(one.communicate("go\n", timeout=60)[0]) for one in ones]
    finally:
        for one in ones:
            one.kill()
            one.wait()
    assert sum(passed) == 1000


def test_what_one_notes_another_reads(tmp_path: Path) -> None:
    one, other = Ledger(tmp_path / "quotas"), Ledger(tmp_path / "quotas")
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


def test_no_room_for_it_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"131,072 bytes: .*No such file") as raised:
        Ledger(tmp_path / "missing" / "quotas")
    assert "--workers 1" in raised.value.hint
