"""`fovea ab` without a server: experiments are declared, started, read and ended in the store alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fovea_server.cli.main import app

_MODEL = "efficientnet_lite0"
_FILE = f"""
name = "trial"
model = "{_MODEL}"
primary_metric = "latency"
arms = [{{ name = "control", model = "{_MODEL}", weight = 0.5 }}, {{ name = "new", model = "{_MODEL}", weight = 0.5 }}]
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def _ab(state: Path, *arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["ab", *map(str, arguments), "--state", str(state)])
    assert result.exit_code == 0, result.output
    return result.stdout


def _refused(state: Path, *arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["ab", *map(str, arguments), "--state", str(state)])
    assert result.exit_code == 2, result.output
    return result.output


def test_from_a_file_to_a_decision_and_back(state: Path, tmp_path: Path) -> None:
    (tmp_path / "trial.toml").write_text(_FILE)
    _ab(state, "create", tmp_path / "trial.toml", "--why", "to try it")
    _ab(state, "start", "trial", "--why", "now")
    assert "new: keep waiting" in _ab(state, "show", "trial")
    _ab(state, "promote", "trial", "--why", "it is better")
    _ab(state, "rollback", "trial", "--why", "it is not")
    shown = _ab(state, "show", "trial")
    for why in ("to try it", "now", "it is better", "it is not"):
        assert why in shown
    (row,) = (json.loads(line) for line in _ab(state, "list", "--json").splitlines())
    assert (row["name"], row["state"], row["answers_with"]) == ("trial", "rolled back", "control")
    report = tmp_path / "report.html"
    _ab(state, "show", "trial", "--html", report)
    assert "it is not" in report.read_text()


def test_in_options_alone_with_any_field(state: Path) -> None:
    arms = (f"--arm=control={_MODEL}", f"--arm=new={_MODEL}@2")
    fields = ("--set=kind=canary", "--set=canary.steps=[0.1, 1.0]", "--set=guardrails.p99_ratio=2")
    _ab(state, "create", "--name=rollout", f"--model={_MODEL}", *arms, *fields)
    said = json.loads(_ab(state, "show", "rollout", "--json"))
    assert said["declaration"]["canary"]["steps"] == [0.1, 1.0]
    assert said["declaration"]["guardrails"]["p99_ratio"] == 2.0
    assert [arm["model"] for arm in said["arms"]] == [_MODEL, f"{_MODEL}@2"]
    assert "arms.new.model: efficientnet_lite0@2 is not loaded; loaded are efficientnet_lite0" in _refused(
        state, "start", "rollout"
    )


def test_what_cannot_be_is_one_sentence_with_the_field(state: Path) -> None:
    arms = (f"--arm=control={_MODEL}:0.5", f"--arm=new={_MODEL}:0.4")
    assert "error: arms.weight: they sum to 0.9; they must sum to 1" in _refused(
        state, "create", "--name=trial", f"--model={_MODEL}", *arms
    )
    assert "is not NAME=MODEL" in _refused(state, "create", "--arm=nothing")
    for text in ("--set=decision=1", "--set=decision=[1]", "--set=decision=better"):
        said = _refused(state, "create", "--name=trial", text, "--set=decision.alpha=0.1")
        assert "error: --set decision.alpha: decision is " in said
        assert "and has no fields" in said
    assert "--set arms.new.weight: arms is [{" in _refused(state, "create", *arms, "--set=arms.new.weight=0.5")
    for odd in ("1" + "0" * 5000, "[" * 5000):
        assert "shadow_share: it must be a number, not" in _refused(
            state, "create", "--name=trial", f"--model={_MODEL}", *arms, f"--set=shadow_share={odd}"
        )
    assert "has no value" in _refused(state, "create", "--set=kind")
    assert "is not the URL of a SQLite file or a PostgreSQL" in _refused(state, "list", "--store=mysql://host/db")


def test_an_experiment_that_nobody_knows_is_refused(state: Path) -> None:
    result = CliRunner().invoke(app, ["ab", "show", "nothing", "--state", str(state)])
    assert result.exit_code == 1
    assert "there is no experiment 'nothing'; there are: none" in result.output


def test_a_decision_wants_a_reason(state: Path) -> None:
    for act in ("stop", "promote", "rollback"):
        assert "--why" in _refused(state, act, "trial")


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ("accuracy", "primary_metric: accuracy is read from the feature log, and none is named here"),
        ("event:bought", "primary_metric: nobody has reported the event bought yet"),
    ],
)
def test_a_metric_that_nobody_reports_is_refused_at_the_start(state: Path, metric: str, sentence: str) -> None:
    arms = (f"--arm=control={_MODEL}:0.5", f"--arm=new={_MODEL}:0.5", f"--set=primary_metric={metric}")
    _ab(state, "create", "--name=trial", f"--model={_MODEL}", *arms)
    assert sentence in " ".join(_refused(state, "start", "trial").split())


def _created(state: Path, why: str) -> None:
    _ab(
        state,
        "create",
        "--name=trial",
        f"--model={_MODEL}",
        f"--arm=a={_MODEL}:0.5",
        f"--arm=b={_MODEL}@2:0.5",
        f"--why={why}",
    )


def test_a_reason_is_shown_as_it_was_written(state: Path) -> None:
    _created(state, "see [/b] ticket \x1b[2J caf\udce9")
    assert r"see [/b] ticket \x1b[2J caf\udce9" in _ab(state, "show", "trial")


def test_a_page_that_cannot_be_written_is_named(state: Path) -> None:
    _created(state, "")
    result = CliRunner().invoke(app, ["ab", "show", "trial", "--html", "/nonexistent/x.html", "--state", str(state)])
    assert result.exit_code == 1
    assert "error: /nonexistent/x.html cannot be written: No such file or directory" in result.stderr


def test_a_user_without_a_name_is_called_by_the_number(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    _created(state, "to try it")
    assert f"{os.getuid()}@" in _ab(state, "show", "trial")
