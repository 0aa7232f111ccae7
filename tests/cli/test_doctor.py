"""`fovea doctor` at the terminal: exit codes, and what it says where there is nothing to examine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.doctor import strangers
from tests.ports import free_ports
from typer.testing import CliRunner, Result

from fovea_pipelines.package import ModelPackage
from fovea_server.cli.main import app
from fovea_server.triton import tuned
from fovea_server.triton.tuned import Machine, Setting
from fovea_server.tuning import evidence


def _doctor(state: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["doctor", "--state", str(state), *words])


def test_our_own_repository_is_well(tmp_path: Path, package: ModelPackage) -> None:
    result = _doctor(tmp_path)
    assert result.exit_code == 0
    assert "no problem found" in result.stdout


def test_a_stranger_gets_findings_with_places_and_exit_code_1(tmp_path: Path) -> None:
    result = _doctor(tmp_path, str(strangers.naive(tmp_path / "models")))
    assert result.exit_code == 1
    assert "error   dali/config.pbtxt:4  input ENCODED lacks allow_ragged_batch" in result.stdout
    assert "3 Triton models in" in result.stdout


def test_programs_get_all_of_it_as_json(tmp_path: Path) -> None:
    result = _doctor(tmp_path, str(strangers.naive(tmp_path / "models")), "--json")
    document = json.loads(result.stdout)
    (ragged,) = [each for each in document["findings"] if each["rule"] == "no-ragged-batch"]
    assert (ragged["severity"], ragged["file"], ragged["line"]) == ("error", "dali/config.pbtxt", 4)
    assert document["models"] == 3


def test_warnings_alone_are_no_failure(tmp_path: Path) -> None:
    config = strangers.python("single", "", batch=0)
    strangers.model(tmp_path / "models", "single", config, {"model.py": ""})
    result = _doctor(tmp_path, str(tmp_path / "models"))
    assert (result.exit_code, "warning" in result.stdout) == (0, True)


@pytest.mark.parametrize("words", [["none"], ["."], ["--prove"]])
def test_nothing_to_examine_is_exit_code_2_with_a_hint(
    tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    result = _doctor(tmp_path, *words)
    assert result.exit_code == 2
    assert "hint: " in result.stderr


def test_a_triton_that_is_not_there_is_one_sentence(tmp_path: Path, package: ModelPackage) -> None:
    (port,) = free_ports(1)
    result = _doctor(tmp_path, "--triton", f"127.0.0.1:{port}")
    assert result.exit_code == 2
    assert f"Triton does not answer on 127.0.0.1:{port}" in result.stderr


def test_it_says_whether_tuned_settings_are_used(tmp_path: Path, package: ModelPackage) -> None:
    path = tuned.file_of(tmp_path, package)
    path.parent.mkdir()
    setting = Setting(1, 1, 8, 0, "f32")
    path.write_text(evidence.settings_file(package, Machine.here(), "cpu", setting))
    assert "efficientnet_lite0 was tuned for cpu" in _doctor(tmp_path).stdout
    path.write_text(evidence.settings_file(package, Machine("another", 3), "cpu", setting))
    assert "not used: they were measured on 3 cores of another" in _doctor(tmp_path).stdout


def test_square_brackets_in_a_path_are_no_markup(tmp_path: Path, package: ModelPackage) -> None:
    state = tmp_path / "st[/b]"
    path = tuned.file_of(state, package)
    path.parent.mkdir(parents=True)
    setting = Setting(1, 1, 8, 0, "f32")
    path.write_text(evidence.settings_file(package, Machine.here(), "cpu", setting))
    result = _doctor(state)
    assert result.exit_code == 0
    assert f"({path})" in result.stdout


def test_escape_sequences_of_a_repository_do_not_reach_the_terminal(tmp_path: Path) -> None:
    config = strangers.python("\\033]0;owned\\007\\033[2J", "dynamic_batching {}")
    strangers.model(tmp_path / "models", "evil\x1b[31mred", config, {})
    result = _doctor(tmp_path, str(tmp_path / "models"))
    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout
    assert r"evil\x1b[31mred/config.pbtxt:1" in result.stdout
    assert r'it calls itself "\x1b]0;owned\x07\x1b[2J"' in result.stdout


def test_a_folder_whose_name_is_not_utf_8_is_named_all_the_same(tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path / "models") + b"/caf\xe9/1")
    Path(folder).mkdir(parents=True)
    (Path(folder).parent / "config.pbtxt").write_text(strangers.python("caf", ""))
    told = subprocess.run(
        [Path(sys.executable).with_name("fovea"), "doctor", "--state", tmp_path, tmp_path / "models"],
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stderr) == (1, "")
    assert r"caf\udce9/1  there is no model.py" in told.stdout
