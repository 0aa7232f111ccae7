from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fovea_server.errors import StartError
from fovea_server.feature_log import opening


def test_a_folder_is_made_and_opened(tmp_path: Path) -> None:
    assert opening.places(str(tmp_path / "new/log"), tmp_path).segments.is_dir()


def test_a_package_that_is_missing_is_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_NEEDED", ("no_such_package",))
    with pytest.raises(StartError, match="no_such_package") as error:
        opening.places(str(tmp_path), tmp_path)
    assert "fovea-server[log]" in error.value.hint


@pytest.mark.parametrize("location", ["nonsense://x/y", "https://x/y", " "])
def test_a_url_that_nothing_opens_is_refused_before_the_server_starts(tmp_path: Path, location: str) -> None:
    with pytest.raises(StartError) as error:
        opening.places(location, tmp_path)
    assert "s3://" in error.value.hint


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="cannot be written"):
        opening.places(os.fspath(tmp_path / "file/log"), tmp_path)


def test_a_salt_that_cannot_be_kept_is_said_before_anything_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(StartError, match=r"salt cannot be kept in .*: No space left on device"):
            opening.places(str(tmp_path / "log"), tmp_path / "state")
    assert not list((tmp_path / "state").iterdir())
    assert opening.places(str(tmp_path / "log"), tmp_path / "state")
