"""Two windows of made-up traffic: what was planted is found and nothing else, and each image counts once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.studies.made_up_traffic import answers, exported

from fovea_server.studies.drift import comparison, documents, gauges, page
from fovea_server.studies.drift.changes import Change, Level
from fovea_server.studies.drift.comparison import Comparison
from fovea_server.studies.traffic import samples


def _compared(folder: Path, before: list[dict[str, Any]], now: list[dict[str, Any]]) -> Comparison:
    return comparison.compare(
        "cats", exported(folder / "before.parquet", before), exported(folder / "now.parquet", now)
    )


def _levels(found: Comparison) -> dict[str, Level]:
    return {change.feature: change.level for change in found.changes}


def _of(found: Comparison, feature: str) -> Change:
    return next(change for change in found.changes if change.feature == feature)


def test_two_windows_of_the_same_traffic_have_not_drifted(tmp_path: Path) -> None:
    """In ten pairs of windows, with everything that is looked at in each."""
    for seed in range(10):
        found = _compared(tmp_path, answers(seed, 300), answers(seed + 100, 200))
        assert set(_levels(found).values()) == {Level.STEADY}, seed
        assert len(found.changes) == 16
        assert not found.has_drifted


@pytest.mark.parametrize(
    ("feature", "changed"),
    [
        ("brightness", {"brightness": lambda random: random.normal(0.4, 0.1)}),
        ("bits a pixel", {"image_bytes": lambda random: int(random.integers(20_000, 60_000))}),
        ("megapixels", {"image_width": 4000, "image_height": 3000, "image_bytes": 6_000_000}),
        ("orientation", {"image_orientation": 1}),
        ("format", {"image_format": lambda random: str(random.choice(["jpeg", "png"]))}),
        ("label", {"top_labels": ["espresso"]}),
        ("slice device", {"slices": {"device": "phone"}}),
        ("embedding", {"embedding": lambda random: random.normal(0.4, size=16).tolist()}),
        ("entropy", {"entropy": lambda random: random.uniform(1, 3)}),
        ("accuracy", {"label": "tench"}),
        ("estimated accuracy", {"top_scores": lambda random: [random.beta(3, 4)]}),
    ],
)
def test_what_was_changed_has_drifted(tmp_path: Path, feature: str, changed: dict[str, Any]) -> None:
    found = _compared(tmp_path, answers(1, 300), answers(2, 300, **changed))
    assert _of(found, feature).level is Level.DRIFTED
    assert found.has_drifted


def test_more_refusals_are_a_drift_and_being_busy_is_none(tmp_path: Path) -> None:
    refused: dict[str, Any] = {"model": None, "label": None, "top_labels": []}
    bad = answers(3, 20, outcome="UNDECODABLE", **refused)
    busy = answers(4, 20, outcome="BUSY", **refused)
    before, now = answers(1, 200), answers(2, 200)
    assert _of(_compared(tmp_path, before, now + busy), "refused").level is Level.STEADY
    found = _of(_compared(tmp_path, before, now + busy + bad), "refused")
    assert (found.level, found.now) == (Level.DRIFTED, "8.3% of 240")


def test_one_image_sent_again_and_again_counts_once(tmp_path: Path) -> None:
    flood = [{**answers(2, 1, brightness=0.01)[0], "id": f"again {number}"} for number in range(500)]
    found = _compared(tmp_path, answers(1, 300), answers(2, 300)[1:] + flood)
    assert (found.current.answers, found.current.images) == (799, 300)
    assert _of(found, "brightness").level is Level.STEADY


def test_too_few_images_say_nothing_and_why(tmp_path: Path) -> None:
    found = _compared(tmp_path, answers(1, 300), answers(2, 99, brightness=0.0))
    assert set(_levels(found).values()) == {Level.TOO_FEW}
    assert _of(found, "brightness").why == "300 before and 99 now; 100 are needed"


def test_labels_that_are_each_too_rare_are_not_called_steady(tmp_path: Path) -> None:
    def rare(random: Any) -> list[str]:
        return [f"label {random.integers(1000)}"]

    found = _of(_compared(tmp_path, answers(1, 200, top_labels=rare), answers(2, 200, top_labels=rare)), "label")
    assert (found.level, found.why) == (Level.TOO_FEW, "each value is too rare to be told from chance")


def test_the_estimate_of_accuracy_needs_no_labels_of_now(tmp_path: Path) -> None:
    """Scores that say how often they are right: then it is as low as the accuracy that nobody has told."""

    def rows(seed: int, low: float) -> list[dict[str, Any]]:
        found = answers(seed, 2000, top_scores=lambda random: [random.uniform(low, 1)])
        for place, row in enumerate(found):
            right = (place * 0.618) % 1 < row["top_scores"][0]
            row["label"] = row["top_labels"][0] if right else "none of them"
            row["correct"] = right
        return found

    now = rows(2, 0.2)
    truth = sum(row["correct"] for row in now) / len(now)
    for row in now:
        row["label"] = row["correct"] = None
    found = _compared(tmp_path, rows(1, 0.8), now)
    assert "accuracy" not in _levels(found) or _of(found, "accuracy").level is Level.TOO_FEW
    estimated = _of(found, "estimated accuracy")
    assert estimated.level is Level.DRIFTED
    assert float(estimated.now.split("%")[0]) / 100 < truth


def test_a_model_that_only_embeds_is_compared_in_what_it_has(tmp_path: Path) -> None:
    bare: dict[str, Any] = {"top_labels": [], "top_scores": [], "entropy": None, "label": None}
    found = _compared(tmp_path, answers(1, 200, **bare), answers(2, 200, **bare))
    assert _of(found, "embedding").level is Level.STEADY
    assert not {"label", "best score", "entropy", "accuracy", "estimated accuracy"} & set(_levels(found))


def test_embeddings_of_another_length_are_not_compared(tmp_path: Path) -> None:
    longer = answers(2, 200, embedding=lambda random: random.normal(size=32).tolist())
    found = _of(_compared(tmp_path, answers(1, 200), longer), "embedding")
    assert (found.level, found.why) == (Level.TOO_FEW, "of 16 features before, of 32 now")


def test_where_there_are_many_images_the_same_are_taken_of_both_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MOST_IMAGES", 200)
    monkeypatch.setattr(samples, "MOST_EMBEDDINGS", 100)
    rows = answers(1, 1000)
    taken = samples.take(exported(tmp_path / "all.parquet", rows), "cats")
    assert 120 < taken.rows.num_rows < 280
    assert 60 < len(taken.embeddings) < 150
    assert taken.images == pytest.approx(1000, rel=0.1)
    fewer = samples.take(exported(tmp_path / "again.parquet", rows[::-1]), "cats")
    assert fewer.rows["image_sha256"].to_pylist() == taken.rows["image_sha256"].to_pylist()


def test_the_answer_whose_truth_is_known_stands_for_an_image(tmp_path: Path) -> None:
    (row,) = answers(1, 1)
    unknown = {**row, "id": "first", "label": None, "correct": None}
    taken = samples.take(exported(tmp_path / "two.parquet", [unknown, row]), "cats")
    assert taken.values("correct") == [row["correct"]]


def test_the_page_tells_what_drifted_and_hides_nothing_of_what_callers_wrote(tmp_path: Path) -> None:
    found = _compared(
        tmp_path, answers(1, 200), answers(2, 200, slices={"device": "<script>alert(1)</script>"}, brightness=0.1)
    )
    said = page.render([found], lambda digest: None)
    assert "brightness, contrast" not in said
    assert "<script>" not in said
    assert "&lt;script&gt;" in said
    assert re.search(r"<b>Drifted</b><br>[^<]*brightness[^<]* drifted", said)
    assert said.index("brightness: drifted") < said.index("What is steady") < said.index("contrast: steady")
    assert "least like those of before" not in said  # nothing can be told by the embeddings


def test_the_page_shows_the_images_that_are_least_like_before(tmp_path: Path) -> None:
    moved = answers(2, 200, embedding=lambda random: random.normal(1.0, size=16).tolist())
    found = _compared(tmp_path, answers(1, 200), moved)
    asked: list[str] = []
    assert "least like those of before" in page.render([found], lambda digest: asked.append(digest))  # type: ignore[func-returns-value]
    assert asked == [digest for digest, _ in found.newest]
    assert len(asked) == 24
    assert set(asked) <= {row["image_sha256"] for row in moved}


def test_programs_are_told_the_same(tmp_path: Path) -> None:
    found = _compared(tmp_path, answers(1, 200), answers(2, 200, brightness=0.1))
    said = documents.of_comparison(found)
    assert said["drifted"] is True
    (change,) = [change for change in said["changes"] if change["feature"] == "brightness"]
    assert change["level"] == "drifted"
    assert sum(change["histogram"]["current"]) == 200
    assert said["current"]["answered_by"] == ["cats@1 openvino int8"]


def test_prometheus_is_told_levels_and_effects(tmp_path: Path) -> None:
    found = _compared(tmp_path, answers(1, 200), answers(2, 99, brightness=0.1))
    assert "feature=" not in gauges.text([found], 1.0).decode()
    found = _compared(tmp_path, answers(1, 200), answers(2, 200, brightness=0.1))
    said = gauges.text([found], 1700000000.0).decode()
    assert 'fovea_drift_level{feature="brightness",model="cats"} 2.0' in said
    assert 'fovea_drift_level{feature="contrast",model="cats"} 0.0' in said
    assert 'fovea_drift_compared_timestamp_seconds{model="cats"} 1.7e+09' in said
    assert re.search(r'fovea_drift_effect\{feature="embedding",measure="AUC",model="cats"\} 0\.\d', said)


@pytest.mark.parametrize(
    "odd",
    [
        {"image_width": None, "image_orientation": None, "brightness": None, "image_format": None, "slices": {}},
        {"image_width": 0},
        {"top_scores": [float("nan")], "entropy": float("nan")},
        {"top_scores": []},
        {"embedding": [float("nan")] * 16},
        {"embedding": []},
        {"embedding": [0.0] * 16},
        {"version": None, "variant": None, "precision": None},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("error")
def test_what_is_not_known_is_not_compared(tmp_path: Path, odd: dict[str, Any]) -> None:
    for before in (answers(1, 150), answers(1, 150, **odd), []):
        found = _compared(tmp_path, before, answers(2, 150, **odd))
        assert page.render([found], lambda digest: None)
        assert documents.of_comparison(found)["drifted"] == found.has_drifted
