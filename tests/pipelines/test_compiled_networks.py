"""Compiled networks are kept whole or not at all, and what did harm once is not tried again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fovea_pipelines import compiled_networks
from fovea_pipelines.compiled_networks import CompiledNetworks


def _found(kept: CompiledNetworks, key: str = "a") -> bytes | None:
    if trial := kept.find(key):
        trial.passed()
        return trial.blob
    return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "fovea" / "compiled"


@pytest.fixture
def kept(folder: Path) -> CompiledNetworks:
    kept = CompiledNetworks(folder)
    kept.write("a", b"network a")
    return kept


def test_what_was_written_is_found_by_its_key_again_and_again(folder: Path, kept: CompiledNetworks) -> None:
    assert [_found(kept), _found(CompiledNetworks(folder)), _found(kept)] == [b"network a"] * 3
    assert _found(kept, "b") is None
    assert [file.name for file in folder.iterdir()] == ["a"]
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
    assert time.time() - (folder / "a").stat().st_mtime < 60


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-1], lambda content: content[:10], lambda _: b"", lambda content: content[:-1] + b"?"],
    ids=["cut", "cut early", "emptied", "another byte"],
)
def test_what_was_damaged_is_thrown_away(
    folder: Path, kept: CompiledNetworks, damage: Callable[[bytes], bytes]
) -> None:
    (folder / "a").write_bytes(damage((folder / "a").read_bytes()))
    assert _found(kept) is None
    assert list(folder.iterdir()) == []


def test_several_may_try_it_at_once(folder: Path, kept: CompiledNetworks) -> None:
    first, second = kept.find("a"), CompiledNetworks(folder).find("a")
    assert first is not None
    assert second is not None
    assert first.blob == second.blob == b"network a"
    first.passed()
    second.passed()
    assert [file.name for file in folder.iterdir()] == ["a"]


def test_what_failed_is_gone_and_may_be_written_again(folder: Path, kept: CompiledNetworks) -> None:
    trial = kept.find("a")
    assert trial is not None
    trial.failed()
    assert list(folder.iterdir()) == []
    kept.write("a", b"compiled again")
    assert _found(kept) == b"compiled again"


def test_what_ended_the_process_that_tried_it_is_left_alone_for_an_hour(folder: Path, kept: CompiledNetworks) -> None:
    program = f"""
import os, pathlib, signal
from fovea_pipelines.compiled_networks import CompiledNetworks
trial = CompiledNetworks(pathlib.Path({str(folder)!r})).find("a")
assert trial.blob == b"network a"
os.kill(os.getpid(), signal.SIGSEGV)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGSEGV
    assert _found(kept) is None
    kept.write("a", b"compiled again")
    assert _found(kept) is None
    (marker,) = folder.glob("a.*")
    os.utime(marker, (0, 0))
    assert _found(kept) == b"network a"
    assert not marker.exists()


@pytest.mark.parametrize("above", [False, True])
def test_where_others_may_write_nothing_is_believed_or_kept(folder: Path, kept: CompiledNetworks, above: bool) -> None:
    (folder.parent if above else folder).chmod(0o770)
    assert _found(kept) is None
    kept.write("b", b"network b")
    assert [file.name for file in folder.iterdir()] == ["a"]


def test_a_folder_that_is_a_link_is_not_ours(folder: Path, kept: CompiledNetworks) -> None:
    link = folder.with_name("link")
    link.symlink_to(folder)
    assert _found(CompiledNetworks(link)) is None


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kept = CompiledNetworks(tmp_path / "file" / "compiled")
    kept.write("a", b"network a")
    assert _found(kept) is None


def test_a_disk_that_is_full_leaves_nothing_half_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    CompiledNetworks(folder).write("a", bytes(1000))
    assert list(folder.iterdir()) == []


def test_what_is_larger_than_all_that_may_stay_is_not_written(folder: Path, kept: CompiledNetworks) -> None:
    CompiledNetworks(folder, most_bytes=1000).write("b", bytes(1001))
    assert [file.name for file in folder.iterdir()] == ["a"]


def test_of_more_than_may_stay_those_used_last_do(folder: Path) -> None:
    kept = CompiledNetworks(folder, most_bytes=1000)
    for moment, key in enumerate("abc"):
        kept.write(key, bytes(200))
        os.utime(folder / key, (moment, moment))
    assert _found(kept, "a") is not None  # which makes it the last one used
    kept.write("d", bytes(200))
    assert sorted(file.name for file in folder.iterdir()) == ["a", "c", "d"]


@pytest.mark.parametrize(("base", "inside"), [("/elsewhere", "/elsewhere"), ("not/absolute", "/home/somebody/.cache")])
def test_the_folder_is_where_the_user_has_caches(monkeypatch: pytest.MonkeyPatch, base: str, inside: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    monkeypatch.setenv("HOME", "/home/somebody")
    kept = compiled_networks.of_this_user()
    assert kept is not None
    assert kept._folder == Path(inside, "fovea/compiled")


def test_who_has_no_home_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(path: str) -> str:
        return path

    monkeypatch.setattr("os.path.expanduser", homeless)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert compiled_networks.of_this_user() is None


def test_a_file_system_without_locks_has_nothing_to_try(
    folder: Path, kept: CompiledNetworks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(file: object, operation: int) -> None:
        raise OSError(37, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", no_locks)
        assert kept.find("a") is None
    assert [file.name for file in folder.iterdir()] == ["a"]
