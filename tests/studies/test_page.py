"""The report can be sent around: it fetches nothing, and what was captured is seen in it."""

from __future__ import annotations

import base64
import io
import re
import time
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from tests.studies.made_up import shadow, split

from fovea_server.studies import interval_chart, page
from fovea_server.studies.observations import Disagreement, Reading
from fovea_server.studies.readouts import Readouts
from fovea_server.studies.store import Change
from fovea_server.studies.thumbnails import Thumbnails
from fovea_server.studies.truth import Labelled, Truth

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


class Captured(Known):
    """An image of so many pixels for every digest, by its first digit in a format and a mode of its own."""

    def __init__(self, width: int, height: int, digits: str = "abcdef") -> None:
        self._files = {digit: _encoded(digit, width, height) for digit in digits}

    def image(self, sha256: str) -> bytes | None:
        return self._files[sha256[0]]


_KINDS = {"a": ("JPEG", "RGB"), "b": ("JPEG", "CMYK"), "c": ("PNG", "P"), "d": ("PNG", "LA"), "e": ("PNG", "I;16")}


def _encoded(digit: str, width: int, height: int) -> bytes:
    form, mode = _KINDS.get(digit, ("WEBP", "RGBA"))
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, form)
    return file.getvalue()


def _report_of(readouts: Readouts, truth: Truth, digits: str) -> str:
    readouts.store.start(readouts.store.create(shadow(), ME), ME)
    seen = [
        Disagreement("trial", f"r-{place}", time.time(), digit * 64, "a", "b") for place, digit in enumerate(digits)
    ]
    readouts.observations.give("one", {}, disagreements=seen)
    return _page(Readouts(readouts.store, readouts.observations, truth))


def test_pictures_of_every_kind_are_shown(readouts: Readouts) -> None:
    shown = _report_of(readouts, Captured(300, 200), "abcdef")
    pictures = [Image.open(io.BytesIO(base64.b64decode(each))) for each in re.findall(r"base64,([^\"]+)", shown)]
    assert [picture.size for picture in pictures] == [(120, 80)] * 6


def test_of_what_is_too_large_to_be_decoded_in_the_gateway_the_size_is_shown(readouts: Readouts) -> None:
    decoded: list[tuple[int, int]] = []
    load = PngImagePlugin.PngImageFile.load

    def noted(picture: PngImagePlugin.PngImageFile) -> Any:
        decoded.append(picture.size)
        return load(picture)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PngImagePlugin.PngImageFile, "load", noted)
        shown = _report_of(readouts, Captured(4001, 4000, "c"), "c")
    assert "4001x4000, too large to be shown here" in shown
    assert "data:image" not in shown
    assert decoded == []


def test_a_large_photograph_is_decoded_at_a_fraction_and_shown() -> None:
    image = _encoded("a", 6000, 4000)
    tracked: list[tuple[int, int]] = []
    convert = Image.Image.convert

    def noted(picture: Image.Image, *arguments: Any, **named: Any) -> Image.Image:
        tracked.append(picture.size)
        return convert(picture, *arguments, **named)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Image.Image, "convert", noted)
        assert "data:image/jpeg" in Thumbnails().of(image)
    assert set(tracked) <= {(120, 80)}


def test_a_page_decodes_so_many_pixels_and_no_more(readouts: Readouts) -> None:
    shown = _report_of(readouts, Captured(4000, 4000, "c"), "c" * 6)
    assert shown.count("data:image") == 4
    assert shown.count("4000x4000, too large to be shown here") == 2


def test_what_pillow_takes_for_a_bomb_or_for_no_image_leaves_the_report_whole() -> None:
    bomb = bytearray(_encoded("c", 16, 16))
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + bytes(bomb[24:29])
    bomb[12:33] = header + zlib.crc32(header).to_bytes(4, "big")
    assert Thumbnails().of(bytes(bomb)) == "<p>too large to be shown here</p>"
    assert Thumbnails().of(b"no image") == ""


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
