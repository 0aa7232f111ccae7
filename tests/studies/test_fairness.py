"""Slices against the rest: the one that is answered worse is found, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.studies.made_up_traffic import answers, exported

from fovea_server.studies.fairness import documents, gaps
from fovea_server.studies.fairness.gaps import Fairness, Gap, Level
from fovea_server.studies.traffic import samples


def _found(folder: Path, rows: list[dict[str, Any]]) -> Fairness:
    source = exported(folder / "window.parquet", rows)
    return gaps.find("cats", samples.take_labelled(source, "cats"), samples.ended(source, "cats"))


def _of(found: Fairness, name: str) -> Gap:
    return next(gap for gap in found.gaps if gap.slice == name)


def _wrong(rows: list[dict[str, Any]], share: float) -> list[dict[str, Any]]:
    """The same, answered wrongly in so many cases more."""
    random = np.random.default_rng(9)
    for row in rows:
        if random.random() < share:
            row["top_labels"], row["correct"] = ["none of them"], False
    return rows


def test_nobody_is_worse_off_where_all_are_alike(tmp_path: Path) -> None:
    for seed in range(10):
        found = _found(tmp_path, answers(seed, 500))
        assert not found.worse, seed
        assert {"device=phone", "device=camera", "orientation 6", "the darkest fifth"} <= {g.slice for g in found.gaps}


def test_the_slice_that_is_answered_worse_comes_first(tmp_path: Path) -> None:
    rows = answers(1, 500, slices={"device": "camera"})
    rows += _wrong(answers(2, 200, slices={"device": "phone"}), 0.2)
    found = _found(tmp_path, rows)
    assert [gap.slice for gap in found.worse] == ["device=phone"]
    gap = found.gaps[0]
    assert gap.difference.estimate == pytest.approx(-0.18, abs=0.06)
    assert gap.difference.upper < 0
    assert gap.surplus > 0  # as sure as ever, and less often right
    assert (gap.right.count, gap.rest.count) == (200, 500)
    assert gap.p_value is not None
    assert gap.p_value < 0.001


def test_dark_images_that_are_answered_worse_are_a_slice_nobody_had_to_name(tmp_path: Path) -> None:
    rows = answers(1, 800, brightness=lambda random: random.uniform(0.4, 0.9))
    rows += _wrong(answers(2, 200, brightness=lambda random: random.uniform(0, 0.3)), 0.3)
    assert "the darkest fifth" in [gap.slice for gap in _found(tmp_path, rows).worse]


def test_among_images_of_the_same_label_the_slice_with_the_hard_ones_is_as_good(tmp_path: Path) -> None:
    def rows(seed: int, count: int, device: str, label: str, right: float) -> list[dict[str, Any]]:
        made = answers(seed, count, slices={"device": device}, label=label, top_labels=[label])
        return _wrong(made, 1 - right)

    found = _found(
        tmp_path,
        rows(1, 400, "phone", "tench", 0.5)
        + rows(2, 100, "phone", "espresso", 0.95)
        + rows(3, 100, "camera", "tench", 0.5)
        + rows(4, 400, "camera", "espresso", 0.95),
    )
    phone = _of(found, "device=phone")
    assert phone.level is Level.WORSE
    assert phone.difference.estimate < -0.2
    assert phone.alike.lower < 0 < phone.alike.upper


def test_too_few_labels_say_nothing(tmp_path: Path) -> None:
    rows = answers(1, 300, slices={"device": "camera"})
    rows += _wrong(answers(2, 29, slices={"device": "phone"}), 1)
    phone = _of(_found(tmp_path, rows), "device=phone")
    assert (phone.level, phone.p_value) == (Level.TOO_FEW, None)


def test_a_slice_that_is_refused_more_often_says_so(tmp_path: Path) -> None:
    rows = answers(1, 200, slices={"device": "camera"}) + answers(2, 90, slices={"device": "phone"})
    rows += answers(3, 10, slices={"device": "phone"}, outcome="UNDECODABLE", model=None, label=None, top_labels=[])
    found = _found(tmp_path, rows)
    phone = _of(found, "device=phone").refused
    assert phone is not None
    assert (phone.hits, phone.count) == (10, 100)
    assert _of(found, "orientation 6").refused is None


def test_images_without_a_label_are_left_out(tmp_path: Path) -> None:
    rows = answers(1, 100) + answers(2, 500, label=None)
    assert _found(tmp_path, rows).right.count == 100


def test_programs_are_told_the_same(tmp_path: Path) -> None:
    rows = answers(1, 400, slices={"device": "camera"})
    rows += _wrong(answers(2, 200, slices={"device": "phone"}), 0.3)
    said = documents.of_fairness(_found(tmp_path, rows))
    assert said["fair"] is False
    assert said["slices"][0]["slice"] == "device=phone"
    assert said["slices"][0]["level"] == "worse"
    assert said["slices"][0]["refused"] == {
        "share": 0.0,
        "lower": 0.0,
        "upper": pytest.approx(0.0188, abs=1e-3),
        "count": 200,
    }
