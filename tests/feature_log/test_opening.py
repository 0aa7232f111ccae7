from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest
from tests import small_disk

from fovea_server.errors import StartError
from fovea_server.feature_log import opening
from fovea_server.feature_log.keeper import Keeper
from fovea_server.feature_log.places import Places
from fovea_server.feature_log.settings import FeatureLogSettings


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


def test_a_salt_that_cannot_be_kept_is_said_before_anything_is_answered(tmp_path: Path) -> None:
    full, left, after = small_disk.said_on(tmp_path, "tests.feature_log.salt_on_a_full_disk")
    assert full == f"the feature log's salt cannot be kept in {tmp_path / 'state'}: No space left on device"
    assert left == []
    assert after == ["feature_log.salt"]


def test_a_salt_that_a_power_cut_left_empty_is_refused(tmp_path: Path) -> None:
    """Whoever knew the keys' public ids could tell who asked."""
    (tmp_path / "feature_log.salt").touch()
    with pytest.raises(StartError, match=r"feature_log\.salt is empty, as after a power cut; delete it"):
        opening.places(str(tmp_path / "log"), tmp_path)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("s3://AKIA:topsecret@bucket/log?nonsense=1", "s3://...@bucket/log?nonsense=1"),
        ("s3://AKIA:top/secret@bucket/log?nonsense=1", "s3://...@bucket/log?nonsense=1"),
        ("s3://AKIA:topsecret@bucket:x/log", "s3://...@bucket:x/log"),
        ("nonsense://AKIA:topsecret@bucket/log", "nonsense://...@bucket/log"),
        ("abfs://box@account/log?client_secret=topsecret&x=1", "abfs://...@account/log?client_secret=...&x=1"),
        ("s3://bucket/log?nonsense=1", "s3://bucket/log?nonsense=1"),
    ],
)
def test_no_error_has_a_urls_secrets_in_it(tmp_path: Path, location: str, shown: str) -> None:
    with pytest.raises(StartError) as error:
        opening.places(location, tmp_path)
    said = "".join(traceback.format_exception(error.value))
    assert shown in str(error.value)
    assert "secret@" not in said
    assert "topsecret" not in said
    assert "AKIA" not in said
    keeper = Keeper(Places.of(location, tmp_path), FeatureLogSettings(location))
    failed = keeper.one_pass()["failed"]
    assert "secret@" not in failed
    assert "topsecret" not in failed
