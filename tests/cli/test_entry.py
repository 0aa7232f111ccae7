"""The console script: what goes wrong around a command ends in a sentence or a status, never in a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ENTRY = "from fovea_server.cli.entry import main; main()"


def _run(folder: Path, first: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", f"{first}\n{ENTRY}", *arguments]
    return subprocess.run(program, capture_output=True, text=True, cwd=folder, timeout=60, check=False)


WITHOUT_A_PACKAGE = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "tritonclient":
            raise ModuleNotFoundError("No module named 'tritonclient'", name=name)
sys.meta_path.insert(0, Missing())
"""


def test_a_package_that_is_missing_is_named_with_the_way_to_install_it(tmp_path: Path) -> None:
    result = _run(tmp_path, WITHOUT_A_PACKAGE, "models", "list")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "error: the Python package tritonclient is not installed",
        "hint: serving needs more than the client: pip install 'fovea-server[cpu]'",
    ]


def test_a_module_of_ours_that_is_missing_is_a_fault_and_shown_as_one(tmp_path: Path) -> None:
    result = _run(tmp_path, "import sys; sys.modules['fovea_server.cli.ab'] = None", "--version")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "fovea_server.cli.ab" in result.stderr


@pytest.mark.parametrize("module", ["fovea_server.cli.main", "rich.table"])
def test_ctrl_c_while_the_commands_are_imported_ends_without_a_word(tmp_path: Path, module: str) -> None:
    interrupting = f"""
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
"""
    result = _run(tmp_path, interrupting, "--version")
    assert (result.returncode, result.stdout, result.stderr) == (128 + signal.SIGINT, "", "")


@pytest.mark.parametrize(
    "words",
    [
        ("models", "list"),
        ("models", "show", "efficientnet_lite0"),
        ("keys", "create"),
        ("keys", "list"),
        ("--version",),
    ],
)
def test_where_stdout_is_full_a_sentence_says_so(tmp_path: Path, words: tuple[str, ...]) -> None:
    program = [sys.executable, "-c", ENTRY, *words]
    environment = {**os.environ, "FOVEA_STATE": str(tmp_path / "state")}
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            program, stdout=full, stderr=subprocess.PIPE, text=True, env=environment, timeout=60, check=False
        )
    assert (result.returncode, result.stderr.splitlines()[-2:]) == (
        1,
        ["error: stdout cannot be written: No space left on device", "hint: what was to be printed is lost"],
    )
    assert "Traceback" not in result.stderr


def test_a_full_disk_that_stdout_is_not_on_is_a_fault_and_shown_as_one(tmp_path: Path) -> None:
    failing = """
from fovea_server.cli import main
def full():
    raise OSError(28, "No space left on device")
main.app = full
"""
    result = _run(tmp_path, failing)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "No space left on device" in result.stderr
