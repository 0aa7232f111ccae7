"""A file that is written is whole or not there, whoever else writes it and whatever the disk says."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import small_disk
from tests.conftest import ROOT

from fovea_server import drafts


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_what_is_there_is_replaced_and_no_draft_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"one", b"another"):
        drafts.write(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_of_two_that_write_once_the_first_counts(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert drafts.write_once(path, b"one")
    assert not drafts.write_once(path, b"another")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_for_those_it_was_meant_for_as_far_as_the_umask_lets_it(tmp_path: Path) -> None:
    path, before = tmp_path / "file", os.umask(0o027)
    try:
        drafts.write(path, b"")
        assert _mode(path) == 0o640
        drafts.write(path, b"", mode=0o600)
        assert _mode(path) == 0o600
    finally:
        os.umask(before)


@pytest.mark.parametrize("write", [drafts.write, drafts.write_once])
def test_the_content_and_then_the_name_are_on_the_disk_before_anybody_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., object]
) -> None:
    synced: list[tuple[int, bool]] = []
    fsync = os.fsync

    def watched(opened: int) -> None:
        fsync(opened)
        synced.append((os.fstat(opened).st_ino, (tmp_path / "file").exists()))

    monkeypatch.setattr(os, "fsync", watched)
    write(tmp_path / "file", b"content")
    assert synced == [((tmp_path / "file").stat().st_ino, False), (tmp_path.stat().st_ino, True)]
    write(tmp_path / "another", b"content", durable=False)
    assert len(synced) == 2


def test_what_cannot_take_its_name_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        drafts.write(tmp_path / "folder", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_full_disk_leaves_what_was_there_and_no_draft(tmp_path: Path) -> None:
    failed, left, kept = small_disk.said_on(tmp_path, "tests.drafts_on_a_full_disk")
    assert failed == [errno.ENOSPC] * 3
    assert (left, kept) == (["filler", "kept"], "old")


_MANY = """
import sys
from pathlib import Path
from fovea_server import drafts

sys.stdin.readline()
for number in range(300):
    drafts.write(Path(sys.argv[1]) / "file", sys.argv[2].encode() * 10_000, durable=False)
"""


def test_processes_that_write_the_same_file_do_not_meet(tmp_path: Path) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", _MANY, tmp_path, name], stdin=subprocess.PIPE, cwd=ROOT)
        for name in ("a", "b")
    ]
    for each in started:
        assert each.stdin is not None
        each.stdin.write(b"now\n")
        each.stdin.close()
    assert [each.wait(60) for each in started] == [0, 0]
    (file,) = tmp_path.iterdir()
    assert file.read_bytes() in (b"a" * 10_000, b"b" * 10_000)
