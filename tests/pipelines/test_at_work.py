"""A process says since when it is at work on a batch, and nothing keeps it from its work."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from fovea_pipelines import at_work
from fovea_pipelines.at_work import AtWork


def test_it_is_at_work_from_the_beginning_of_a_batch_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(at_work.FOLDER, str(tmp_path))
    mine = AtWork()
    assert at_work.seconds(tmp_path, os.getpid()) == 0
    with mine.on_a_batch():
        time.sleep(0.02)
        assert 0.02 <= (at_work.seconds(tmp_path, os.getpid()) or 0) < 10
    with pytest.raises(MemoryError), mine.on_a_batch():
        raise MemoryError
    assert at_work.seconds(tmp_path, os.getpid()) == 0


def test_of_who_says_nothing_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "12").write_bytes(b"half")
    assert at_work.seconds(tmp_path, 11) is None
    assert at_work.seconds(tmp_path, 12) is None


@pytest.mark.parametrize("folder", [None, "gone"])
def test_where_it_cannot_be_said_the_work_is_done_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str | None
) -> None:
    monkeypatch.delenv(at_work.FOLDER, raising=False)
    if folder:
        monkeypatch.setenv(at_work.FOLDER, str(tmp_path / folder))
    with AtWork().on_a_batch():
        pass
    assert list(tmp_path.iterdir()) == []
