"""`fovea quarantine` lists, shows and clears what a server keeps, and says a sentence where there is nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fovea_server.cli.quarantine import app
from fovea_server.request.quarantine import FOLDER, Quarantine, digest_of

IMAGES = (b"one", b"another")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    quarantine = Quarantine(tmp_path / FOLDER)
    for image in IMAGES:
        quarantine.keep(image, digest_of(image), ("cats", "dogs"), "id-1")
    return tmp_path


def _run(state: Path, *words: str) -> Result:
    result = CliRunner().invoke(app, [*words, f"--state={state}"], env={"NO_COLOR": "1", "TERM": "dumb"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_list_has_a_line_for_each(state: Path) -> None:
    lines = _run(state, "list").stdout.splitlines()
    assert len(lines) == 3
    assert any(digest_of(b"one") in line and "cats,dogs" in line and "id-1" in line for line in lines)
    rows = [json.loads(line) for line in _run(state, "list", "--json").stdout.splitlines()]
    assert {row["digest"] for row in rows} == set(map(digest_of, IMAGES))


def test_one_is_shown_by_how_its_digest_begins(state: Path) -> None:
    shown = json.loads(_run(state, "show", digest_of(b"one")[:8]).stdout)
    assert (shown["bytes"], shown["models"]) == (3, ["cats", "dogs"])
    assert Path(shown["path"]).read_bytes() == b"one"
    assert _run(state, "show", digest_of(b"one"), "--image").stdout_bytes == b"one"


def test_one_is_cleared_or_all_are(state: Path) -> None:
    assert _run(state, "clear", digest_of(b"one")).stderr == f"cleared {digest_of(b'one')}\n"
    assert [kept.digest for kept in Quarantine(state / FOLDER).all()] == [digest_of(b"another")]
    _run(state, "clear", "--all")
    assert not list((state / FOLDER).iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "ffff"), "error: 0 images in quarantine begin with ffff"),
        (("clear", "ffff"), "error: 0 images in quarantine begin with ffff"),
        (("clear",), "error: name images, or say --all"),
        (("clear", "--all", "ffff"), "error: name images, or say --all"),
    ],
)
def test_what_cannot_be_done_is_said(state: Path, words: tuple[str, ...], said: str) -> None:
    result = _run(state, *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "hint: `fovea quarantine list` lists them" in result.stderr


def test_an_image_that_is_gone_is_said_to_be(state: Path) -> None:
    path = Quarantine(state / FOLDER).path(digest_of(b"one"))
    path.unlink()
    result = _run(state, "show", digest_of(b"one"), "--image")
    assert result.exit_code == 1
    assert f"error: {path} cannot be read: No such file or directory" in result.stderr
    assert "hint: fovea quarantine clear" in result.stderr
