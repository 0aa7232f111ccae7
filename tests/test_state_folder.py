"""A state folder that cannot be written is said when a server starts; one that is full stops no answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import small_disk

from fovea_server import state_folder
from fovea_server.errors import StartError


def test_a_file_in_its_place_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(StartError, match="state cannot be written: File exists") as raised:
        state_folder.check(tmp_path / "state")
    assert "--state" in (raised.value.hint or "")


def test_a_full_disk_is_logged_and_the_server_starts(tmp_path: Path) -> None:
    empty, full = small_disk.said_on(tmp_path, "tests.starting_on_a_full_disk")
    assert empty == []
    (line,) = full
    assert line["log_level"] == "warning"
    assert line["folder"] == str(tmp_path / "state")
    assert "full" in line["event"]
