"""`fovea tune` at the terminal: what bad input gets. Real sweeps are in tests/e2e."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fovea_pipelines import toml
from fovea_pipelines.package import ModelPackage
from fovea_server.cli.main import app
from fovea_server.triton import tuned
from fovea_server.triton.tuned import Setting
from fovea_server.tuning.journal import Journal
from fovea_server.tuning.search import BudgetSpent, Search
from fovea_server.tuning.sweep import Progress, Sweep
from fovea_server.tuning.trial import Role, Step, Trial


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
    assert result.exit_code == 1
    assert "efficientnet_lite0@2 has no configs/cpu.pbtxt that is to be tuned" in result.stderr


def _swept(monkeypatch: pytest.MonkeyPatch, scores: Sequence[float]) -> None:
    """As if the scores had been measured, one after the other, and the time were over then."""

    def run(sweep: Sweep, journal: Journal, progress: Progress) -> Search:
        left = iter(scores)

        def measured(setting: Setting, role: Role) -> Trial:
            score = next(left, None)
            if score is None:
                raise BudgetSpent
            step = Step(60.0, 60.0, 20.0, 37.0, 12.0, 0)
            journal.add(Trial(role, setting, score, (step,)))
            return journal.trials[-1]

        search = Search.begin(sweep.baseline)
        search.run(sweep.axes, measured)
        return search

    monkeypatch.setattr(Sweep, "run", run)


def test_where_there_was_time_for_the_default_alone_it_is_said_and_kept(
    tmp_path: Path, package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    _swept(monkeypatch, [60.0])
    result = _tune(tmp_path)
    assert (result.exit_code, result.exception) == (0, None)
    assert "only the default was measured, once: 60.0 images/s" in result.stdout
    assert "the time was over before the search" in result.stderr
    assert "no setting kept" not in result.output
    assert list((tmp_path / "tuned").glob("*.toml"))


def test_who_tunes_with_one_picture_is_warned_and_the_record_has_the_number_of_pictures(
    tmp_path: Path, package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    _swept(monkeypatch, [60.0])
    alone = _tune(tmp_path / "alone")
    warning = "give --images FOLDER with photographs like those that will come"
    assert (alone.exit_code, warning in alone.stderr, warning in alone.stdout) == (0, True, False)
    assert _images_on_record(tmp_path / "alone") == 1

    (tmp_path / "photographs").mkdir()
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(package.golden.image, tmp_path / "photographs" / name)
    several = _tune(tmp_path / "several", "--images", str(tmp_path / "photographs"))
    assert (several.exit_code, "warning" in several.stderr) == (0, False)
    assert _images_on_record(tmp_path / "several") == 2


def _images_on_record(state: Path) -> int:
    (file,) = (state / "tuned").glob("*.toml")
    return int(toml.loads(file.read_text())["images"])


def test_where_the_time_was_over_nothing_is_said_of_settings_that_were_not_tried(
    tmp_path: Path, package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    _swept(monkeypatch, [0.0, 0.0, 0.0])
    result = _tune(tmp_path)
    assert result.exit_code == 1
    assert "the time was over before a setting kept the 99th percentile within 100 ms" in result.stderr
    assert "hint: fovea tune --resume" in result.stderr


def test_settings_that_cannot_be_written_are_shown_and_their_trials_kept(
    tmp_path: Path, package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    _swept(monkeypatch, [60.0, 61.0])
    (tuned.file_of(tmp_path, package) / "in the way").mkdir(parents=True)
    result = _tune(tmp_path)
    assert result.exit_code == 1, result.exception
    assert "nothing beat the default, 60.5 images/s" in result.stdout
    assert ".toml cannot be written: Is a directory" in result.stderr
    assert "--state" in result.stderr
    (journal,) = (tmp_path / "tuned").glob("*.jsonl")
    assert journal.name in result.stderr
    assert journal.read_text().count('"trial"') == 2


def test_trials_that_cannot_be_written_end_the_sweep_with_a_sentence(
    tmp_path: Path, package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    _swept(monkeypatch, [60.0, 61.0])
    begin = Journal.begin

    def begun(folder: Path, model: str, plan: dict[str, Any]) -> Journal:
        journal = begin(folder, model, plan)
        journal.path = Path("/dev/full")
        return journal

    monkeypatch.setattr(Journal, "begin", begun)
    result = _tune(tmp_path)
    assert result.exit_code == 1, result.exception
    assert "error: /dev/full cannot be written: No space left on device" in result.stderr
    assert "--state" in result.stderr
