"""Comparisons as one HTML file: what drifted first, each with its two histograms, and the images least like before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fovea_server.studies.drift import bars_chart, words
from fovea_server.studies.drift.changes import ALPHA, Change, Level, Measure
from fovea_server.studies.drift.comparison import Comparison
from fovea_server.studies.html_parts import document, quiet, table, text
from fovea_server.studies.thumbnails import Thumbnails
from fovea_server.studies.traffic.samples import Sample

_WORTH_A_LOOK = (Level.DRIFTED, Level.MOVED)
_STYLE = """
.before { fill: #8aa4b3; } .now { fill: #d9793b; } svg.key { width: .8em; height: .8em; }
"""
_KEY = (
    '<p class="quiet"><svg class="key" viewBox="0 0 9 9"><rect class="before" width="9" height="9"/></svg> before, '
    '<svg class="key" viewBox="0 0 9 9"><rect class="now" width="9" height="9"/></svg> now</p>'
)
_METHOD = (
    f"Moved and drifted are what {ALPHA:.0%} of findings at most are by chance (Benjamini and Hochberg 1995), and what "
    "is large besides: a population stability index, less what chance adds, of "
    f"{Measure.PSI.moved:g} and {Measure.PSI.drifted:g}; embeddings that a linear classifier tells apart with an area "
    f"under the curve of {Measure.AUC.moved:g} and {Measure.AUC.drifted:g} (Lopez-Paz and Oquab 2017); shares worse by "
    f"{Measure.POINTS.moved:.0%} and {Measure.POINTS.drifted:.0%}. Each image counts once in a window."
)


def render(comparisons: Sequence[Comparison], image: Callable[[str], bytes | None]) -> str:
    """`image` gives a captured image's bytes by its SHA-256."""
    thumbnails = Thumbnails()
    parts = [part for each in comparisons for part in _comparison(each, image, thumbnails)]
    return document("Drift", ["<h1>Drift</h1>", *parts, quiet(_METHOD)], _STYLE)


def _comparison(comparison: Comparison, image: Callable[[str], bytes | None], thumbnails: Thumbnails) -> list[str]:
    changes = words.ordered(comparison.changes)
    steady = "".join(_chart(each) for each in changes if each.level is Level.STEADY)
    verdict = "Drifted" if comparison.has_drifted else "Not drifted"
    rows = [
        (each.feature, each.level.value, words.effect(each), each.before, each.why or each.now, words.p_value(each))
        for each in changes
    ]
    return [
        f"<h2>{text(comparison.model)}</h2>",
        f'<p class="verdict"><b>{verdict}</b><br>{text(words.summary(comparison))}</p>',
        table(
            ("window", "answers", "images", "answered by"),
            (_sample("before", comparison.reference), _sample("now", comparison.current)),
        ),
        table(("feature", "", "how far", "before", "now", "p"), rows),
        _newest(comparison, image, thumbnails),
        _KEY,
        *(_chart(each) for each in changes if each.level in _WORTH_A_LOOK),
        f"<details><summary>What is steady</summary>{steady}</details>" if steady else "",
    ]


def _sample(name: str, sample: Sample) -> tuple[str, ...]:
    return f"{name}: {sample.source}", f"{sample.answers:,}", f"{sample.images:,}", ", ".join(sample.answered_by)


def _chart(change: Change) -> str:
    bars = bars_chart.draw(change.histograms) if change.histograms else ""
    return f"<h3>{text(change.feature)}: {change.level.value}, {words.effect(change)}</h3>{bars}" if bars else ""


def _newest(comparison: Comparison, image: Callable[[str], bytes | None], thumbnails: Thumbnails) -> str:
    """Those to look at first, and to label for the next training; only where the embeddings can be told apart."""
    told = any(each.feature == "embedding" and each.level in _WORTH_A_LOOK for each in comparison.changes)
    if not told:
        return ""
    figures = "".join(
        f"<figure>{thumbnails.of(found) if (found := image(digest)) else ''}"
        f"<figcaption>{text(each[:40])}</figcaption></figure>"
        for digest, each in comparison.newest
    )
    return (
        "<h3>The images of now that are least like those of before</h3>"
        "<p>By their embeddings, with the ids of their answers: what to look at first, and to label.</p>"
        f'<div class="pairs">{figures}</div>'
    )
