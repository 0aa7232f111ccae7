"""The command: what was measured before something went wrong is kept, and its options."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks import paths, rounds, serving
from benchmarks.errors import LoadFailed
from benchmarks.paths import Plan
from benchmarks.photographs import Photographs
from benchmarks.report import Serving
from benchmarks.rows import BARE
from benchmarks.server import Server
from tests.benchmarks.made_up import ABOUT, row

from fovea_client.load.photographs import Photograph

_PHOTOGRAPH = (Photograph("a.jpg", "image/jpeg", b"x"),)


@pytest.mark.parametrize("end", [KeyboardInterrupt(), LoadFailed("the server went away", "start it")])
def test_lines_that_were_done_are_shown_and_kept(
    end: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cut_short(*_: object) -> Iterator[Serving]:
        yield Serving(ABOUT, [row(BARE, 200)])
        raise end

    monkeypatch.setattr(rounds, "measured", cut_short)
    plan = Plan(("bare",), (1,), 1.0, Photographs("here", tmp_path, ()))
    with pytest.raises(type(end)):
        serving._measured(argparse.Namespace(rounds=1), plan, None, tmp_path / "out.partial.json")
    assert json.loads((tmp_path / "out.partial.json").read_text())["lines"][0]["path"] == BARE
    assert BARE in capsys.readouterr().out


def test_the_result_says_how_long_all_of_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "bare", lambda *_: row(BARE, 200))
    plan = Plan(("bare",), (1,), 1.0, Photographs("here", tmp_path, _PHOTOGRAPH))
    *_, whole = rounds.measured(plan, 2, lambda: contextlib.nullcontext(Server(None, None, None, None)), None)
    assert len(whole.rows) == 2 * 4
    assert 0 <= whole.document()["elapsed_seconds"] < 60


def test_shares_are_percentages_and_0_is_none() -> None:
    assert (serving._shares("50,70"), serving._shares("0")) == ((0.5, 0.7), ())
