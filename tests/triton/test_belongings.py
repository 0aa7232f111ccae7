"""What is held is nobody else's until its holder lets go of it, or ends."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from fovea_server.triton import belongings


def test_a_new_folder_is_held_until_it_is_let_go_of(tmp_path: Path) -> None:
    folder = belongings.new_folder(tmp_path, "mine_")
    assert folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(BlockingIOError), belongings.taken_over(folder):
        pass
    belongings.let_go(folder)
    with belongings.taken_over(folder):
        pass


def test_one_that_is_swept_before_it_is_held_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, swept = fcntl.flock, list[Path]()

    def flock(descriptor: int, how: int) -> None:
        if not swept:
            swept.extend(tmp_path.iterdir())
            swept[0].rmdir()
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    folder = belongings.new_folder(tmp_path, "mine_")
    assert folder.is_dir()
    assert swept != [folder]
    belongings.remove(folder)


def test_what_is_gone_is_not_held_and_not_taken_over(tmp_path: Path) -> None:
    assert not belongings.hold(tmp_path / "none")
    with pytest.raises(FileNotFoundError), belongings.taken_over(tmp_path / "none"):
        pass


def test_what_is_removed_costs_no_open_file(tmp_path: Path) -> None:
    before = _open_files()
    for _ in range(3):
        folder = belongings.new_folder(tmp_path, "mine_")
        (folder / "file").touch()
        belongings.remove(folder)
    assert not list(tmp_path.iterdir())
    assert _open_files() == before


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
