"""`fovea tune` at the terminal: what bad input gets. Real sweeps are in tests/e2e."""

from __future__ import annotations

import shutil
from pathlib import Path

from typer.testing import CliRunner, Result

from fovea_pipelines.package import ModelPackage
from fovea_server.cli.main import app


def _tune(state: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["tune", "--state", str(state), *words])


def test_a_goal_that_there_is_not_is_refused(tmp_path: Path) -> None:
    result = _tune(tmp_path, "--goal", "glory")
    assert (result.exit_code, "use throughput or cpu" in result.stderr) == (2, True)


def test_photographs_that_are_not_there_are_refused_before_anything_starts(
    tmp_path: Path, package: ModelPackage
) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("none", "empty"):
        result = _tune(tmp_path, "--images", str(tmp_path / folder))
        assert result.exit_code == 1
        assert folder in result.stderr
    assert not (tmp_path / "tuned").exists()


def test_there_must_be_a_sweep_to_go_on_with(tmp_path: Path, package: ModelPackage) -> None:
    result = _tune(tmp_path, "--resume")
    assert (result.exit_code, "there is no sweep of efficientnet_lite0" in result.stderr) == (1, True)


def test_a_state_folder_that_cannot_be_written_is_refused(tmp_path: Path, package: ModelPackage) -> None:
    (tmp_path / "state").write_text("a file")
    result = _tune(tmp_path / "state")
    assert (result.exit_code, "cannot be written" in result.stderr) == (1, True)


def test_a_model_that_there_is_not_is_refused(tmp_path: Path, package: ModelPackage) -> None:
    assert _tune(tmp_path, "--model", "nobody").exit_code == 2


def test_a_version_that_was_added_is_refused_like_every_added_model(tmp_path: Path, package: ModelPackage) -> None:
    folder = Path(shutil.copytree(package.folder, tmp_path / "models/efficientnet_lite0@2"))
    description = (folder / "model.toml").read_text()
    (folder / "model.toml").write_text(description.replace('version = "1"', 'version = "2"'))
    result = _tune(tmp_path, "--model", "efficientnet_lite0@2")
    assert (result.exit_code, "efficientnet_lite0@2 has no configs/cpu.pbtxt" in result.stderr) == (1, True)
