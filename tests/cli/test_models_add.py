"""`fovea models add` and `remove` where something is in the way: they say a sentence, never a traceback."""

from __future__ import annotations

import errno
import fcntl
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import small_networks
from typer.testing import CliRunner

from fovea_pipelines.package import ModelPackage
from fovea_server.cli import models_add, running
from fovea_server.cli.models import app


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """With the folders of one added model, whose description cannot be read."""
    for name in ("mine", "classify_mine"):
        (tmp_path / "state/models" / name).mkdir(parents=True)
    (tmp_path / "state/models/mine/model.toml").write_text("no [TOML")
    return tmp_path / "state"


def _run(*arguments: object) -> tuple[int, str]:
    environment = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    result = CliRunner().invoke(app, [str(each) for each in arguments], env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stderr


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class _Server:
    """Refuses every model, and remembers what it was told."""

    pid = 7

    def __init__(self) -> None:
        self.told: list[str] = []

    def add(self, model: str) -> str | None:
        self.told.append(f"add {model}")
        return "it does not answer: timed out"

    def remove(self, model: str) -> str | None:
        self.told.append(f"remove {model}")
        return None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> _Server:
    server = _Server()

    def servers(_: Path) -> Iterator[_Server]:
        yield server

    monkeypatch.setattr(running, "servers", servers)
    return server


def test_an_empty_repository_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, said = _run("add", "some.onnx", "--repository", tmp_path / "empty", "--state", tmp_path / "state")
    assert code == 1
    assert "empty holds no model package" in said


def test_a_model_whose_description_cannot_be_read_is_removed(state: Path) -> None:
    assert _run("remove", "mine", "--state", state) == (0, "mine: removed\n")
    assert _names(state / "models") == set()


def test_what_is_left_of_a_model_is_removed(state: Path) -> None:
    shutil.rmtree(state / "models/mine")
    assert _run("remove", "mine", "--state", state)[0] == 0
    assert _names(state / "models") == set()


@pytest.mark.parametrize("name", ["nobody", "classify_mine", "../models/mine", "..", "."])
def test_what_was_not_added_under_that_name_is_not_removed(state: Path, name: str) -> None:
    code, said = _run("remove", name, "--state", state)
    assert code == 1
    assert f"{name} was not added" in said
    assert _names(state / "models") == {"mine", "classify_mine"}


def test_a_model_that_cannot_be_removed_is_said_to_be_there(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    code, said = _run("remove", "mine", "--state", state)
    assert (code, said) == (1, "error: mine cannot be removed: Permission denied\n")
    assert _names(state / "models") == {"mine", "classify_mine"}


def test_what_killed_commands_left_is_swept_and_nothing_else(state: Path) -> None:
    for name in ("draft-model-abcdefgh", "draft-proposal"):
        (state / name / "inside").mkdir(parents=True)
    _run("remove", "mine", "--state", state)
    assert _names(state) == {"models", "models.lock", "versions.json", "draft-proposal"}
    assert (state / "models.lock").stat().st_mode & 0o777 == 0o600, "who may read it may lock it"


def test_who_waits_for_another_command_is_told_so(state: Path) -> None:
    with (state / "models.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        timer = threading.Timer(0.3, lambda: fcntl.flock(lock, fcntl.LOCK_UN))
        timer.start()
        code, said = _run("remove", "mine", "--state", state)
        timer.join()
    assert (code, said) == (0, "another `fovea models` command is at work; waiting for it\nmine: removed\n")


def test_a_state_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a folder")
    code, said = _run("remove", "mine", "--state", tmp_path / "state")
    assert code == 1
    assert "cannot be written: File exists" in said


def test_a_server_that_did_not_say_yes_is_told_to_remove_it_again(
    repository: Path, package: ModelPackage, tmp_path: Path, server: _Server
) -> None:
    (tmp_path / "contract.toml").write_text(small_networks.CONTRACT)
    (tmp_path / "labels.txt").write_text("one\ntwo\nthree\nfour\nfive\n")
    given = "--contract", tmp_path / "contract.toml", "--labels", tmp_path / "labels.txt", "--full-decode"
    limits = [each for limit in ("logit_drift=3", "top_1=0", "top_5=0") for each in ("--limit", limit)]
    source = small_networks.classifier(tmp_path / "small.onnx")
    code, said = _run("add", source, *given, *limits, "--repository", repository, "--state", tmp_path / "state")
    assert code == 1
    assert "the server 7 refuses small: it does not answer: timed out" in said
    assert server.told == ["add small", "remove small"]
    assert _names(tmp_path / "state/models") == set()


def test_no_8_bit_form_is_made_of_what_a_server_serves(
    repository: Path, package: ModelPackage, tmp_path: Path, server: _Server
) -> None:
    wanted = "efficientnet_lite0", "--precision", "int8", "--images", tmp_path
    code, said = _run("build", *wanted, "--repository", repository, "--state", tmp_path)
    assert code == 1
    assert "the server 7 is running" in said
    assert "hint: stop it first" in said


def test_labels_are_the_lines_of_the_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(b"\xef\xbb\xbftench\r\nshark\x0bx\r\ngrey\xc2\x85wolf\r\n\r\n")
    assert models_add._labels(path) == ("tench", "shark x", "grey wolf")


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "much"])
def test_a_limit_that_would_switch_the_gate_off_is_refused(tmp_path: Path, value: str) -> None:
    code, said = _run("add", "net.onnx", f"--limit=logit_drift={value}", f"--state={tmp_path}")
    assert code == 2
    assert f"--limit is 'logit_drift={value}'" in said
    assert "a number of 0 or more" in said


@pytest.mark.parametrize(
    "words", [("list",), ("rollback", "efficientnet_lite0"), ("remove", "efficientnet_lite0"), ("remove", "mine")]
)
def test_a_damaged_file_of_versions_is_named(state: Path, package: ModelPackage, words: tuple[str, ...]) -> None:
    (state / "versions.json").write_text("{")
    if words[0] != "remove":
        shutil.rmtree(state / "models")
    code, said = _run(*words, f"--state={state}")
    assert code == 1
    assert "versions.json cannot be read" in said
    assert "hint: remove it" in said
