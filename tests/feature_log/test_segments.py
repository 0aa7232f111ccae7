"""Segments that cannot be begun leave nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fovea_server.feature_log import segments
from fovea_server.feature_log.segments import OpenSegment


def test_a_segment_that_cannot_take_its_name_leaves_no_draft_and_no_open_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments.time, "time_ns", lambda: 1)
    taken = tmp_path / f"2026-11-23-{1:020d}-{os.getpid()}.segment"
    taken.mkdir()
    before = _open_files()
    for _ in range(10):
        with pytest.raises(IsADirectoryError):
            OpenSegment(tmp_path, "2026-11-23")
    assert _open_files() == before
    assert list(tmp_path.iterdir()) == [taken]


def _open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}
