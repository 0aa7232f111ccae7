"""The README's blocks are run: its curl, its Python and its commands, against a served Fovea."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.conftest import ROOT
from tests.e2e.served import FOVEA, Served, served
from tests.ports import free_ports

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


def _shell_lines(program: str) -> list[str]:
    lines = [line.split("#")[0].strip() for block in _blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.split()[:1] == [program]]


def test_each_fovea_command_runs(server: Served) -> None:
    commands = _shell_lines("fovea")
    assert len(commands) >= 3
    for command in commands:
        words = command.split()[1:]
        if words[0] in ("classify", "bench"):
            words += ["--url", server.url]
        result = subprocess.run([FOVEA, *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 0, (command, result.stderr)
        assert result.stdout, command


def test_each_make_command_is_one_that_make_can_make() -> None:
    """`make test` cannot run inside itself; what it would run can be asked for."""
    commands = _shell_lines("make")
    assert {"make serve", "make test"} <= set(commands)
    for command in commands:
        subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, check=True, timeout=60)
