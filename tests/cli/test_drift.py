"""`fovea drift` and `fovea fairness`: what they say of a log, how they exit, and what they refuse."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from tests.feature_log.made_up import places
from tests.studies.made_up_traffic import answers, logged
from typer.testing import CliRunner, Result

from fovea_server.cli.main import app

MONDAY = datetime(2023, 11, 13, 9, tzinfo=timezone.utc)
BEFORE, NOW = "2023-11-13..2023-11-14", "2023-11-14..2023-11-15"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Monday and Tuesday as they should be, and a dark Wednesday on which phones are answered wrongly."""
    folder = tmp_path_factory.mktemp("log")
    where = places(folder)
    logged(where, answers(1, 300), MONDAY)
    logged(where, answers(2, 300), MONDAY + timedelta(days=1))
    dark = answers(3, 200, slices={"device": "phone"}, brightness=0.1, label="tench", top_labels=["goldfish"])
    logged(where, dark + answers(4, 200, slices={"device": "camera"}), MONDAY + timedelta(days=2))
    return folder


def _run(log: Path, command: str, *options: str) -> Result:
    where = places(log)
    return CliRunner().invoke(
        app, [*command.split(), "--feature-log", where.lake, "--state", str(where.state), *options]
    )


def test_two_days_alike_have_not_drifted(log: Path) -> None:
    result = _run(log, "drift", "--reference", BEFORE, "--current", NOW)
    assert result.exit_code == 0, result.output
    assert "cats: 300 images from 2023-11-14 to 2023-11-15 UTC, against 300 from 2023-11-13" in result.stderr
    assert result.stderr.endswith("nothing drifted\n")


def test_a_day_that_drifted_says_in_what_and_exits_with_1(log: Path, tmp_path: Path) -> None:
    files = {"--json": tmp_path / "d.json", "--html": tmp_path / "d.html", "--prometheus": tmp_path / "d.prom"}
    options = [str(each) for pair in files.items() for each in pair]
    result = _run(log, "drift", "--as-of", "2023-11-16", *options)
    assert result.exit_code == 1, result.output
    first = result.stdout.splitlines()[1].split()
    assert first[:3] == ["brightness", "drifted", "PSI"]
    (model,) = json.loads(files["--json"].read_text())["models"]
    assert model["reference"]["images"] == 600
    assert "<b>Drifted</b>" in files["--html"].read_text()
    assert 'fovea_drift_level{feature="brightness",model="cats"} 2.0' in files["--prometheus"].read_text()


def test_an_export_is_a_reference_too(log: Path, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.parquet"
    exported = _run(log, "features export", "-o", str(baseline), "--as-of", "2023-11-14")
    assert exported.exit_code == 0, exported.output
    result = _run(log, "drift", "--reference", str(baseline), "--current", NOW)
    assert result.exit_code == 0, result.output
    assert "against 300 from baseline.parquet" in result.stderr


def test_the_slice_that_is_answered_worse_is_named(log: Path, tmp_path: Path) -> None:
    said = tmp_path / "f.json"
    result = _run(log, "fairness", "--as-of", "2023-11-16", "--json", str(said))
    assert result.exit_code == 1, result.output
    assert "answered worse: the darkest fifth, device=phone" in result.stderr
    assert json.loads(said.read_text())["models"][0]["slices"][1]["slice"] == "device=phone"
    result = _run(log, "fairness", "--window", BEFORE)
    assert result.exit_code == 0, result.output
    assert result.stderr.endswith("no slice is answered worse\n")


def test_labels_that_came_later_are_not_known(tmp_path: Path) -> None:
    logged(places(tmp_path), answers(1, 200), MONDAY, told_after=timedelta(days=2))
    early = _run(tmp_path, "fairness", "--window", BEFORE, "--as-of", "2023-11-14")
    assert early.exit_code == 2
    assert "no answer of cats from 2023-11-13 to 2023-11-14 UTC has a label" in early.stderr
    assert _run(tmp_path, "fairness", "--window", BEFORE).exit_code == 0


@pytest.mark.parametrize(
    ("command", "options", "told"),
    [
        ("drift", ("--current", "1 day"), "no window"),
        ("drift", ("--as-of", "2999-01-01"), "in the future"),
        ("drift", ("--reference", "2023-11-13..2023-11-15", "--current", NOW), "both windows contain 2023-11-14"),
        ("drift", ("--reference", "nowhere.parquet", "--current", NOW), "there is no file nowhere.parquet"),
        ("drift", (), "what the log holds is from 2023-11-13"),
        ("drift", ("--reference", BEFORE, "--current", NOW, "-m", "dogs"), "these did: cats"),
        ("drift", ("--reference", "1h", "--current", NOW), "there is nothing to compare"),
        ("drift", ("--current", NOW, "--html", "nowhere/d.html"), "there is no folder nowhere"),
        ("fairness", ("--window", "1y"), "no window"),
        ("fairness", (), "nothing was answered from"),
        ("fairness", ("--as-of", "2023-11-12"), "the log is empty"),
        ("fairness", ("--window", NOW, "-m", "dogs"), "these did: cats"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_2(
    log: Path, command: str, options: tuple[str, ...], told: str
) -> None:
    result = _run(log, command, *options)
    assert result.exit_code == 2, result.output
    assert told in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("name", ["wrong.parquet", "labels.csv"])
def test_a_file_that_is_no_export_is_refused(log: Path, tmp_path: Path, name: str) -> None:
    wrong = tmp_path / name
    wrong.write_text("no parquet")
    result = _run(log, "drift", "--reference", str(wrong), "--current", NOW)
    assert result.exit_code == 2
    assert "is no Parquet file" in result.stderr


def test_where_no_label_is_known_fairness_says_how_to_give_one(tmp_path: Path) -> None:
    where = places(tmp_path)
    logged(where, answers(1, 5, label=None), MONDAY)
    result = _run(tmp_path, "fairness", "--window", BEFORE)
    assert result.exit_code == 2
    assert "POST /v1/feedback" in result.stderr
