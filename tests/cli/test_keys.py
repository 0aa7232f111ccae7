"""`fovea keys`: data to stdout, the secret once, mistakes with a hint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests import small_disk
from typer.testing import CliRunner, Result

from fovea_server.access.key_file import KeyFile
from fovea_server.cli.main import app


def _keys(state: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["keys", *words, f"--state={state}"])


def test_a_key_is_printed_once_and_listed_without_its_secret(tmp_path: Path) -> None:
    made = _keys(
        tmp_path,
        "create",
        "--name=bob",
        "--scope=infer",
        "--scope=admin",
        "--requests-per-second=5",
        "--megapixels-per-second=2.5",
        "--expires-in=2d",
    )
    (text,) = made.stdout.split()
    (said,) = map(json.loads, _keys(tmp_path, "list", "--json").stdout.splitlines())
    assert text.split("_")[1] == said["id"]
    assert (said["name"], said["scopes"], said["good"]) == ("bob", ["admin", "infer"], True)
    assert (said["requests_per_second"], said["megapixels_per_second"]) == (5, 2.5)
    assert said["expires"] - said["created"] == pytest.approx(2 * 86_400)
    listed = _keys(tmp_path, "list").stdout
    assert "bob" in listed
    assert text.split("_")[2] not in listed
    assert "digest" not in said


def test_a_revoked_key_stays_in_the_list_and_revoking_it_again_changes_nothing(tmp_path: Path) -> None:
    text = _keys(tmp_path, "create").stdout.strip()
    identity = text.split("_")[1]
    said = _keys(tmp_path, "revoke", text)  # a whole key is taken for its public id
    assert said.exit_code == 0
    assert text.split("_")[2] not in said.output
    first = KeyFile(tmp_path).read()[identity].revoked
    assert first is not None
    assert _keys(tmp_path, "revoke", identity).exit_code == 0
    assert KeyFile(tmp_path).read()[identity].revoked == first
    assert "revoked" in _keys(tmp_path, "list").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "--scope=everything"], "there is no scope everything"),
        (["create", "--expires-in=soon"], "--expires-in is 'soon'"),
        (["create", "--requests-per-second=0"], "requests-per-second"),
        (["create", "--requests-per-second=inf"], "1000000000"),
        (["create", "--megapixels-per-second=nan"], "megapixels-per-second"),
        (["revoke", "nobody"], "there is no key 'nobody'"),
    ],
)
def test_a_mistake_is_named_and_changes_nothing(tmp_path: Path, words: list[str], said: str) -> None:
    result = _keys(tmp_path, *words)
    assert result.exit_code == 2
    assert said in result.output
    assert KeyFile(tmp_path).read() == {}


def test_a_file_that_is_not_ours_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{")
    for words in (["create"], ["list"], ["revoke", "x"]):
        result = _keys(tmp_path, *words)
        assert result.exit_code == 1
        assert "keys.json" in result.output
    assert (tmp_path / "keys.json").read_text() == "{"


def test_on_a_full_disk_nothing_is_changed_and_the_folder_is_named(tmp_path: Path) -> None:
    said = small_disk.said_on(tmp_path, "tests.cli.keys_on_a_full_disk")
    refusal = [
        f"error: {tmp_path} cannot be used: No space left on device",
        "hint: make room and let this user write there, or name another folder with --state",
    ]
    assert said["full"] == [[1, refusal], [1, refusal]]
    assert said["still"] == [True]
    assert said["afterwards"] == 0
    assert said["left"] == ["keys.json", "keys.lock"]


def test_a_name_is_listed_as_it_was_written(tmp_path: Path) -> None:
    _keys(tmp_path, "create", "--name=for [/b] \x1b]0;x\x07")
    listed = _keys(tmp_path, "list")
    assert (listed.exit_code, r"for [/b] \x1b]0;x\x07" in listed.stdout) == (0, True)
