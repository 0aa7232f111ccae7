"""The report of an experiment as one HTML file that can be sent around: verdict, interval over time, slices, pairs."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

from fovea_server.studies import interval_chart, verdict
from fovea_server.studies.documents import moment
from fovea_server.studies.observations import Disagreement
from fovea_server.studies.readout import Comparison, Readout
from fovea_server.studies.readouts import Readouts
from fovea_server.studies.store import Entry
from fovea_server.studies.strata import Apart
from fovea_server.studies.thumbnails import Thumbnails

# The Content-Security-Policy that it needs where a server shows it: it is all in one file and runs nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'"

_LISTED = 60
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2328; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } .quiet { color: #5d6870; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .25rem .6rem .25rem 0; }
th { border-bottom: 1px solid #9aa5ac; font-weight: 600; } td { border-bottom: 1px solid #e3e8eb; }
.verdict { border-left: 4px solid #2a6f97; padding: .4rem 1rem; background: #f1f6f9; } .verdict b { font-size: 1.1rem; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: #5d6870; }
.band { fill: #a9cfe4; opacity: .6; } .estimate { fill: none; stroke: #1d5a7a; stroke-width: 1.5; }
.level { stroke: #d3dade; stroke-dasharray: 3 4; } .zero { stroke: #59646b; }
.pairs { display: flex; flex-wrap: wrap; gap: .8rem; } .pairs figure { margin: 0; width: 140px; font-size: .8rem; }
"""


def render(readout: Readout, readouts: Readouts) -> str:
    """`readouts` is asked for the history, the journal and captured images."""
    kept = readout.kept
    parts = [
        f"<h1>{_text(kept.name)}</h1>",
        _quiet(f"{kept.experiment.kind} on {kept.experiment.model}, {kept.state}; read {moment(readout.at)}"),
        *(_verdict(each) for each in verdict.verdicts(readout)),
        "<h2>Arms</h2>",
        _arms(readout),
        *(_comparison(readout, each, readouts) for each in readout.comparisons),
        _pairs(readout, readouts),
        "<h2>Journal</h2>",
        _journal(readouts.store.journal(kept.name)),
        _quiet(_METHOD),
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(kept.name)}</title>'
        f"<style>{_STYLE}</style>{''.join(parts)}</html>\n"
    )


_METHOD = (
    "Intervals are confidence sequences: they hold at every look together, so that looking often costs nothing. "
    "Differences: asymptotic, Waudby-Smith et al. 2024; shares: beta-binomial mixture, Robbins 1970."
)


def _verdict(said: verdict.Verdict) -> str:
    left = f" ({verdict.duration(said.seconds_left)})" if said.word == "keep waiting" else ""
    return f'<p class="verdict"><b>{_text(said.arm)}: {said.word}{left}</b><br>{_text(said.why)}</p>'


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
    return _table(("arm", "model", "met by", "errors", "p50 ms", "p99 ms", "observations", metric), rows) + _quiet(
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
    table = _table(("slice", "difference", "interval", "control", "candidate"), slices) if slices else ""
    return (
        f"<h2>{_text(comparison.arm)} against {_text(experiment.control.name)}</h2>{chart}"
        f"<p>{_text(said[:1].upper() + said[1:])}. {left}</p>{table}"
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
        f"<figure>{picture}<figcaption>control: {_text(disagreement.control)}<br>"
        f"candidate: {_text(disagreement.candidate)}</figcaption>{_quiet(disagreement.id[:40])}</figure>"
    )


def _journal(entries: Iterable[Entry]) -> str:
    return _table(("when", "who", "what", "why"), [(moment(e.at) or "", e.who, e.what, e.why) for e in entries])


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(each)}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else ""


def _quiet(value: str) -> str:
    return f'<p class="quiet">{_text(value)}</p>'


def _text(value: str) -> str:
    return html.escape(value)
