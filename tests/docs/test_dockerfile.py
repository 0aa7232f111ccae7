"""The Dockerfile cannot be built without Docker; what it copies and calls can be checked all the same."""

from __future__ import annotations

import re
import shlex
import subprocess

from tests.conftest import ROOT
from tests.e2e.served import FOVEA

TEXT = (ROOT / "Dockerfile.gpu").read_text()
INSTRUCTIONS = re.findall(r"^([A-Z]+) (.+)$", TEXT.replace("\\\n", " "), re.MULTILINE)


def _of(kind: str) -> list[str]:
    return [rest for name, rest in INSTRUCTIONS if name == kind]


def test_the_base_image_has_the_fixes_of_the_known_vulnerabilities() -> None:
    (base,) = _of("FROM")
    year, month = re.fullmatch(r"nvcr\.io/nvidia/tritonserver:(\d\d)\.(\d\d)-py3", base).groups()  # type: ignore[union-attr]
    assert (int(year), int(month)) >= (25, 7)


def test_everything_it_copies_exists() -> None:
    for copy in _of("COPY"):
        *sources, _target = copy.split()
        for source in sources:
            assert (ROOT / source).exists(), source


def test_the_extras_it_installs_exist() -> None:
    (extras,) = re.findall(r"-e '\.\[([\w,]+)\]'", TEXT)
    pyproject = (ROOT / "pyproject.toml").read_text()
    for extra in extras.split(","):
        assert re.search(rf"^{extra} = \[", pyproject, re.MULTILINE), extra


def test_its_entry_point_and_command_are_ours() -> None:
    words = [*_words("ENTRYPOINT"), *_words("CMD")]
    assert words[:2] == ["fovea", "serve"]
    shown = subprocess.run(
        [FOVEA, "serve", "--help"], capture_output=True, text=True, check=True, env={"COLUMNS": "200"}
    ).stdout
    for option in words[2:]:
        if option.startswith("--"):
            assert option in shown


def _words(kind: str) -> list[str]:
    return re.findall(r'"([^"]*)"', _of(kind)[-1])


def test_what_it_runs_is_one_shell_command_each() -> None:
    for run in _of("RUN"):
        assert shlex.split(run)
        assert "sudo" not in run
        assert "--no-cache-dir" in run or "pip" not in run


def test_it_exposes_the_ports_that_are_served() -> None:
    assert _of("EXPOSE") == ["8080 8081"]
