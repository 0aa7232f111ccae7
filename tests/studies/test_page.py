"""The report can be sent around: it fetches nothing, and what was captured is seen in it."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pytest
from PIL import Image
from tests.studies.made_up import shadow, split

from fovea_server.studies import interval_chart, page
from fovea_server.studies.observations import Disagreement, Reading
from fovea_server.studies.readouts import Readouts
from fovea_server.studies.store import Change
from fovea_server.studies.truth import Labelled

ME = Change("me", "because <it> is so")


class Known:
    """2,000 labelled answers, and one captured image."""

    is_reported = True

    def labelled(self, experiment: str, since: float) -> Sequence[Labelled]:
        random = np.random.default_rng(5)
        return [
            Labelled(since + i, ("control", "candidate")[i % 2], f"u{i}", bool(random.random() < 0.8), ("size=small",))
            for i in range(2000)
        ]

    def labels(self, ids: Collection[str]) -> Mapping[str, str]:
        return dict.fromkeys(ids, "cat")

    def image(self, sha256: str) -> bytes | None:
        if sha256 != "a" * 64:
            return None
        file = io.BytesIO()
        Image.new("RGB", (400, 300), "red").save(file, "PNG")
        return file.getvalue()


def _page(readouts: Readouts) -> str:
    return page.render(readouts.of("trial"), readouts)


def test_the_report_shows_verdict_interval_over_time_slices_and_journal(readouts: Readouts) -> None:
    store = readouts.store
    store.start(store.create(split(), ME), ME)
    shown = _page(Readouts(store, readouts.observations, Known()))
    assert "candidate: keep waiting" in shown
    assert "size=small" in shown
    assert "because &lt;it&gt; is so" in shown
    assert not re.search(r"<script|<link|src=\"http|url\(", shown)
    (svg,) = re.findall(r"<svg.*?</svg>", shown, re.DOTALL)
    (points,) = re.findall(r'<polyline class="estimate" points="([^"]*)"', svg)
    assert len(points.split()) >= 50


def test_the_interval_closes_as_time_goes_on(readouts: Readouts) -> None:
    store = readouts.store
    kept = store.start(store.create(split(), ME), ME)
    readings = Readouts(store, readouts.observations, Known()).over_time(kept, "candidate")
    widths = [reading.upper - reading.lower for reading in readings]
    assert widths[-1] < widths[len(widths) // 2] < widths[5]
    assert (readings[-1].control, readings[-1].candidate) == (1000, 1000)


def test_disagreements_are_listed_with_thumbnails_where_they_were_captured(readouts: Readouts) -> None:
    store = readouts.store
    store.start(store.create(shadow(), ME), ME)
    seen = [Disagreement("trial", f"r-{digit}", time.time(), digit * 64, "cat", "<dog>") for digit in "ab"]
    readouts.observations.give("one", {}, disagreements=seen)
    shown = _page(Readouts(store, readouts.observations, Known()))
    assert shown.count("<figure>") == 2
    assert shown.count("data:image/jpeg;base64,") == 1
    assert "candidate: &lt;dog&gt;" in shown
    assert "only the control was right on 2" in shown


@pytest.mark.parametrize(("effect", "labels"), [(0.02, 3), (0.1, 5)])
def test_levels_that_lie_too_close_for_words_are_lines_alone(effect: float, labels: int) -> None:
    readings = [Reading(at, 0.0, -0.26, 0.26, 1000, 1000) for at in range(10)]
    shown = interval_chart.draw(readings, "accuracy", effect)
    heights = sorted(float(y) for y in re.findall(r'<text x="84" y="([\d.]+)" text-anchor="end">[^<]', shown))
    assert len(heights) == labels
    assert min(np.diff(heights)) >= 14
    assert shown.count("<line") == 5


def test_of_two_looks_or_fewer_no_chart_is_drawn() -> None:
    assert "Too few looks" in interval_chart.draw([Reading(0, 0, -1, 1, 1, 1)], "accuracy", 0.02)
