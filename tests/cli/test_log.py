"""`fovea log query`: one question, answered as the log has it, in every form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.feature_log.made_up import NOON, places, record, write
from typer.testing import CliRunner, Result

from fovea_server.cli.log import app


@pytest.fixture
def log(tmp_path: Path) -> Path:
    where = places(tmp_path)
    write(where, records=[record("an id", NOON, top_scores=[0.8592849969863892, 0.1])])
    return tmp_path


def _asked(log: Path, sql: str, *options: str) -> Result:
    where = places(log)
    return CliRunner().invoke(app, ["query", sql, "--feature-log", where.lake, "--state", str(where.state), *options])


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("", "empty"),
        (";", "empty"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("CREATE TABLE x AS SELECT 1", "CREATE"),
        ("COPY (SELECT 1) TO 'x.csv'", "COPY"),
        ("ATTACH 'x.db'", "ATTACH"),
        ("INSTALL httpfs", "LOAD"),
        ("SET threads = 1", "SET"),
    ],
)
def test_what_is_no_question_is_refused_with_what_it_is(
    log: Path, sql: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(log)
    before = set(log.iterdir())
    result = _asked(log, sql)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"one SELECT is answered, and this is {told}" in result.stderr
    assert set(log.iterdir()) == before


def test_what_callers_wrote_is_shown_as_it_is(log: Path) -> None:
    result = _asked(log, "SELECT '[/x]' a, '[red]x[/red]' b, 'a:x:b' c")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split() == ["[/x]", "[red]x[/red]", "a:x:b"]


def test_a_table_shortens_long_lists_and_json_does_not(log: Path) -> None:
    assert "[0, 1, … 1,280 values]" in _asked(log, "SELECT range(1280) AS many").stdout
    (line,) = _asked(log, "SELECT range(1280) AS many", "--format", "json").stdout.splitlines()
    assert json.loads(line)["many"] == list(range(1280))


def test_json_has_the_digits_and_the_zone(log: Path) -> None:
    (line,) = _asked(log, "SELECT time, top_scores FROM records", "--format", "json").stdout.splitlines()
    said = json.loads(line)
    assert said["top_scores"] == [0.859285, 0.1]
    assert said["time"].endswith("Z")
    assert "T" in said["time"]


def test_a_column_is_headed_by_its_whole_name(log: Path) -> None:
    result = _asked(log, """SELECT 1 AS "n[count]", 2 AS "[/b]", 'a' || chr(27) || '[2J' AS c""")
    assert (result.exit_code, result.exception) == (0, None)
    assert [line.split() for line in result.stdout.splitlines()] == [["n[count]", "[/b]", "c"], ["1", "2", r"a\x1b[2J"]]


def test_json_has_null_for_what_is_no_number(log: Path) -> None:
    (line,) = _asked(log, "SELECT 'nan'::DOUBLE AS a, ['inf'::FLOAT] AS b", "--format", "json").stdout.splitlines()
    assert json.loads(line, parse_constant=pytest.fail) == {"a": None, "b": [None]}
