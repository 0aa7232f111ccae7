"""`fovea models build --engine tensorrt` as a person without a GPU meets it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fovea_pipelines.errors import NoGpu
from fovea_pipelines.gpu import found
from fovea_server.cli.models import app


def _run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ("build", *arguments), env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    return result.exit_code, result.stderr


def test_without_a_gpu_nothing_is_built_and_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_gpu() -> None:
        raise NoGpu("this machine has no NVIDIA driver", "install one, or use the CPU")

    monkeypatch.setattr(found, "first", no_gpu)
    code, said = _run("--engine", "tensorrt", "--images", str(tmp_path))
    assert (code, said) == (1, "error: this machine has no NVIDIA driver\nhint: install one, or use the CPU\n")


@pytest.mark.parametrize("arguments", [("--engine", "tensorrt"), ("--engine", "cudnn", "--images", ".")])
def test_an_engine_needs_its_name_and_images(arguments: tuple[str, ...]) -> None:
    code, said = _run(*arguments)
    assert code == 2
    assert "plans are made by --engine tensorrt, from --images FOLDER" in said
