"""The report of an experiment as one HTML file that can be sent around: verdict, interval over time, slices, pairs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from fovea_server.studies import interval_chart, verdict
from fovea_server.studies.documents import moment
from fovea_server.studies.html_parts import document, quiet, table, text
from fovea_server.studies.observations import Disagreement
from fovea_server.studies.readout import Comparison, Readout
from fovea_server.studies.readouts import Readouts
from fovea_server.studies.store import Entry
from fovea_server.studies.strata import Apart
from fovea_server.studies.thumbnails import Thumbnails

_LISTED = 60
_STYLE = """
.band { fill: #a9cfe4; opacity: .6; } .estimate { fill: none; stroke: #1d5a7a; stroke-width: 1.5; }
.level { stroke: #d3dade; stroke-dasharray: 3 4; } .zero { stroke: #59646b; }
"""


def render(readout: Readout, readouts: Readouts) -> str:
    """`readouts` is asked for the history, the journal and captured images."""
    kept = readout.kept
    parts = [
        f"<h1>{text(kept.name)}</h1>",
        quiet(f"{kept.experiment.kind} on {kept.experiment.model}, {kept.state}; read {moment(readout.at)}"),
        *(_verdict(each) for each in verdict.verdicts(readout)),
        "<h2>Arms</h2>",
        _arms(readout),
        *(_comparison(readout, each, readouts) for each in readout.comparisons),
        _pairs(readout, readouts),
        "<h2>Journal</h2>",
        _journal(readouts.store.journal(kept.name)),
        quiet(_METHOD),
    ]
    return document(kept.name, parts, _STYLE)


_METHOD = (
    "Intervals are confidence sequences: they hold at every look together, so that looking often costs nothing. "
    "Differences: asymptotic, Waudby-Smith et al. 2024; shares: beta-binomial mixture, Robbins 1970."
)


def _verdict(said: verdict.Verdict) -> str:
    left = f" ({verdict.duration(said.seconds_left)})" if said.word == "keep waiting" else ""
    return f'<p class="verdict"><b>{text(said.arm)}: {said.word}{left}</b><br>{text(said.why)}</p>'


def _arms(readout: Readout) -> str:
    metric = readout.kept.experiment.primary_metric
    rows = [
        (
            arm.name,
            arm.target,
            f"{arm.exposed:,}",
            _number(arm.error_rate, ".2%"),
            _number(arm.p50_ms, ".1f"),
            _number(arm.p99_ms, ".1f"),
            f"{arm.observations:,}",
            _number(arm.primary, ".4g"),
        )
        for arm in readout.arms
    ]
    ratio = readout.sample_ratio
    mismatch = "a mismatch" if ratio.is_mismatch else "as declared"
    return table(("arm", "model", "met by", "errors", "p50 ms", "p99 ms", "observations", metric), rows) + quiet(
        f"Sample ratio: {mismatch} (p = {ratio.p_value:.3g})."
    )


def _comparison(readout: Readout, comparison: Comparison, readouts: Readouts) -> str:
    experiment = readout.kept.experiment
    chart = interval_chart.draw(
        readouts.over_time(readout.kept, comparison.arm), experiment.primary_metric, experiment.decision.smallest_effect
    )
    left = "How many answers it takes cannot be told yet."
    if comparison.wanted:
        pace = f", {verdict.duration(comparison.seconds_left)} more at the pace of so far"
        left = f"{comparison.wanted:,} answers are planned for{pace if comparison.seconds_left is not None else ''}."
    said = verdict.in_words(experiment, comparison)
    slices = [_row(experiment.primary_metric, name, each) for name, each in comparison.slices.items()]
    by_slice = table(("slice", "difference", "interval", "control", "candidate"), slices) if slices else ""
    return (
        f"<h2>{text(comparison.arm)} against {text(experiment.control.name)}</h2>{chart}"
        f"<p>{text(said[:1].upper() + said[1:])}. {left}</p>{by_slice}"
    )


def _row(metric: str, name: str, apart: Apart) -> Sequence[str]:
    known = math.isfinite(apart.lower)
    return (
        name,
        verdict.amount(metric, apart.estimate) if known else "",
        f"{verdict.amount(metric, apart.lower)} to {verdict.amount(metric, apart.upper)}" if known else "too few",
        f"{apart.control:,}",
        f"{apart.candidate:,}",
    )


def _pairs(readout: Readout, readouts: Readouts) -> str:
    """The paired comparison on copied images, where there is one."""
    pairs = readout.pairs
    if pairs is None:
        return ""
    thumbnails, listed = Thumbnails(), readout.disagreements[:_LISTED]
    figures = "".join(_figure(each, readouts.truth.image(each.sha256), thumbnails) for each in listed)
    return (
        "<h2>The same images, both arms</h2>"
        f"<p>Of the disagreements whose truth is known, only the control was right on {pairs.only_control:,}, only the "
        f"candidate on {pairs.only_candidate:,}, neither on {pairs.neither:,} (McNemar, exact with mid-p: "
        f'p = {pairs.p_value:.3g}).</p><div class="pairs">{figures}</div>'
    )


def _figure(disagreement: Disagreement, image: bytes | None, thumbnails: Thumbnails) -> str:
    picture = thumbnails.of(image) if image else ""
    return (
        f"<figure>{picture}<figcaption>control: {text(disagreement.control)}<br>"
        f"candidate: {text(disagreement.candidate)}</figcaption>{quiet(disagreement.id[:40])}</figure>"
    )


def _journal(entries: Iterable[Entry]) -> str:
    return table(("when", "who", "what", "why"), [(moment(e.at) or "", e.who, e.what, e.why) for e in entries])


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else ""
