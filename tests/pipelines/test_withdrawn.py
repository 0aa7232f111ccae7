"""A board says across processes which requests nobody waits for, and of no other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import small_disk

from fovea_pipelines import withdrawn
from fovea_pipelines.withdrawn import Board, is_withdrawn


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board()
    yield board
    board.close()


def _asked_elsewhere(ticket: str) -> str:
    code = f"from fovea_pipelines.withdrawn import is_withdrawn; print(is_withdrawn({ticket!r}))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_what_is_withdrawn_is_so_for_every_process_and_what_is_not_is_not(board: Board) -> None:
    gone, waiting = board.ticket(), board.ticket()
    board.withdraw(gone)
    assert [_asked_elsewhere(gone), _asked_elsewhere(waiting)] == ["True", "False"]


def test_a_reader_sees_what_is_withdrawn_after_it_first_looked(board: Board) -> None:
    ticket = board.ticket()
    assert not is_withdrawn(ticket)
    board.withdraw(ticket)
    assert is_withdrawn(ticket)


def test_a_place_that_is_used_again_says_nothing_of_who_had_it_before(board: Board) -> None:
    tickets = [board.ticket() for _ in range(5000)]  # more than there are places
    board.withdraw(tickets[0])
    board.withdraw(tickets[4096])
    assert not is_withdrawn(tickets[0])
    assert is_withdrawn(tickets[4096])
    assert sum(map(is_withdrawn, tickets)) == 1


@pytest.mark.parametrize(
    "ticket",
    [
        *("", "1", "1_00000000:1", "../../etc/passwd:1", "1_00000000:-1", "1_00000000:x", ":", "1_0000000g:1"),
        *("1_00000000:" + "9" * 5000, "\u0661_00000000:1", 7, 1.5, True, {"a": 1}, [1]),
    ],
)
def test_what_is_no_ticket_of_a_board_that_is_there_is_not_withdrawn(ticket: object) -> None:
    assert not is_withdrawn(ticket)


def test_a_number_that_is_too_long_is_not_withdrawn(board: Board) -> None:
    name = board.ticket().partition(":")[0]
    assert not is_withdrawn(f"{name}:{'9' * 5000}")


@pytest.mark.parametrize("kind", ["fifo", "short", "link", "folder"])
def test_what_is_no_board_is_not_read(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(withdrawn, "_FOLDER", tmp_path)
    place = tmp_path / "fovea_1_deadbeef_withdrawn"
    if kind == "fifo":
        os.mkfifo(place)  # who opens one to read waits for who writes
    elif kind == "short":
        place.write_bytes(bytes(100))
    elif kind == "link":
        (tmp_path / "else").write_bytes(bytes(8 * 4096))
        place.symlink_to(tmp_path / "else")
    else:
        place.mkdir()
    assert not is_withdrawn("1_deadbeef:0")


def test_where_shared_memory_is_full_no_board_is_made_and_those_there_go_on(tmp_path: Path) -> None:
    said = small_disk.said_on(tmp_path, "tests.pipelines.board_on_a_full_disk")
    assert said == {"withdrawn": 2048, "refused": "No space left on device", "left": 1}


def test_a_board_leaves_nothing_behind_and_is_nobody_elses_to_read() -> None:
    shared = Path("/dev/shm")
    before = set(shared.iterdir())
    board = Board()
    (made,) = {path for path in shared.iterdir() if path.name.endswith("_withdrawn")} - before
    assert made.stat().st_mode & 0o777 == 0o600
    board.close()
    assert not made.exists()
