"""Only what is empty, and surely nobody's any more, is removed."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from fovea_server.triton import leftovers


@pytest.mark.parametrize(("began_before", "stays"), [(-1000.0, True), (1000.0, False)])
def test_a_folder_stays_while_a_tritonserver_lives_that_may_have_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, began_before: float, stays: bool
) -> None:
    empty, full = tmp_path / "python_env_abcdef", tmp_path / "python_env_ghijkl"
    empty.mkdir()
    full.mkdir()
    (full / "file").touch()
    triton = psutil.Process()
    triton.info = {"name": "tritonserver", "create_time": time.time() + began_before}  # type: ignore[attr-defined]
    monkeypatch.setattr(psutil, "process_iter", lambda _: iter([triton]))
    leftovers.remove_environments([empty, full, tmp_path / "python_env_gone"])
    assert empty.is_dir() is stays
    assert full.is_dir()


def test_what_is_free_in_shared_memory_is_what_the_system_says() -> None:
    assert 0 < leftovers.free_shared_memory() <= psutil.disk_usage("/dev/shm").total
