"""The README's blocks are run: its curl, its Python and its commands, against a served Fovea."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import ROOT, free_ports
from tests.e2e.served import FOVEA, Served, served

from fovea_pipelines.package import ModelPackage

README = (ROOT / "README.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def server(package: ModelPackage) -> Iterator[Served]:
    with served(free_ports(5)) as server:
        yield server


def _on(server: Served, text: str) -> str:
    """The README's text, with the ports of this server."""
    return text.replace("127.0.0.1:8080", f"127.0.0.1:{server.rest_port}")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_answers_what_the_readme_shows(server: Served) -> None:
    (command,) = [block for block in _blocks("sh") if block.startswith("curl")]
    result = subprocess.run(["bash", "-c", _on(server, command)], cwd=ROOT, capture_output=True, check=True, timeout=30)
    answer, (shown,) = json.loads(result.stdout), map(json.loads, _blocks("json"))
    assert answer.keys() == shown.keys()
    assert answer["image"] == shown["image"]
    assert {**answer["model"], "digest": ""} == {**shown["model"], "digest": ""}
    assert answer["model"]["digest"].startswith(shown["model"]["digest"].rstrip("…"))
    for got, printed in zip(answer["predictions"], shown["predictions"], strict=True):
        assert (got["label"], got["index"]) == (printed["label"], printed["index"])
        assert got["score"] == pytest.approx(printed["score"], abs=0.01)
    for name, value in shown["quality"].items():
        assert answer["quality"][name] == pytest.approx(value, rel=0.02)
    assert answer["timings_ms"].keys() == shown["timings_ms"].keys()


def test_the_python_prints_the_label(server: Served) -> None:
    (program,) = _blocks("python")
    result = subprocess.run(
        [sys.executable, "-c", _on(server, program)], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.startswith("espresso ")


def test_each_fovea_command_is_one_that_the_command_line_has(server: Served, tmp_path: Path) -> None:
    lines = [line for block in _blocks("sh") for line in block.splitlines()]
    commands = [line.split("#")[0].split() for line in lines if line.startswith("fovea ")]
    assert commands
    for words in commands:
        name = words[1:3] if words[1] == "models" else words[1:2]
        options = [word for word in words if word.startswith("--")]
        result = subprocess.run(
            [FOVEA, *name, "--help"], capture_output=True, text=True, check=True, timeout=60, env={"COLUMNS": "200"}
        )
        for option in options:
            assert option in result.stdout, (name, option)
