"""The report as one HTML page that needs nothing else: the measures, and the worst images side by side."""

from __future__ import annotations

import base64
import io
from html import escape
from importlib import resources

import numpy as np
from PIL import Image

from fovea_pipelines.parity.columns import COLUMNS, cells
from fovea_pipelines.parity.comparison import Best
from fovea_pipelines.parity.corpus import PHOTOGRAPHS, SUMS
from fovea_pipelines.parity.executors import Pixels
from fovea_pipelines.parity.reduction import REDUCED
from fovea_pipelines.parity.report import Report, Why, Worst
from fovea_pipelines.parity.tally import Row
from fovea_pipelines.parity.thresholds import AT_LEAST

_MOST_AMPLIFIED = 64


def render(report: Report) -> str:
    """The whole page."""
    style = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    parts = [_head(report), *(_table(report, executor) for executor in report.executors), _gallery(report)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Skew of {escape(report.model)}</title><style>{style}</style></head>"
        f"<body><main>{''.join(parts)}{_foot(report)}</main></body></html>\n"
    )


def _head(report: Report) -> str:
    if report.passed:
        title, badge = "The served pixels are the training pixels", '<span class="badge good">passed</span>'
    else:
        title, badge = "The served pixels are not the training pixels", '<span class="badge bad">failed</span>'
    return (
        f'<p class="eyebrow">fovea skew · {escape(report.model)}</p><h1>{title}</h1><p>{badge}</p>'
        f'<dl class="facts">{_facts(report)}</dl>{_causes(report)}'
    )


def _causes(report: Report) -> str:
    """What the failing kinds look like; the table has their numbers."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for row in report.rows:
        if row.exceeded:
            kinds.setdefault((row.executor, row.looks_like or "no single stage explains it"), []).append(row.kind)
    items = "".join(
        f'<li><b>{escape(looks_like[0].upper() + looks_like[1:])}</b> <span class="soft">{escape(executor)}</span><br>'
        f"{escape(', '.join(names))}</li>"
        for (executor, looks_like), names in kinds.items()
    )
    return f'<ul class="causes">{items}</ul>' if items else ""


def _facts(report: Report) -> str:
    """What one wants to know first, of the executor that is furthest off."""
    rows = report.rows
    means = [row.pixel_mean for row in rows if row.pixel_mean is not None]
    logits = [row.logit_drift for row in rows if row.logit_drift is not None]
    embeddings = [row.embedding_drift for row in rows if row.embedding_drift is not None]
    top_1 = [row.top_1 for row in rows if row.kind == PHOTOGRAPHS and row.top_1 is not None]
    facts = {
        "images": f"{report.images:,}",
        "kinds beyond a limit": f"{sum(bool(row.exceeded) for row in rows)} <small>of {len(rows)}</small>",
        "worst kind, mean difference": f"{max(means):.2f} <small>of 255</small>" if means else "-",
        **({"largest logit drift": f"{max(logits):.2f}"} if logits else {}),
        "largest embedding drift": f"{max(embeddings):.3f}" if embeddings else "-",
        **({"top-1 on photographs": f"{min(top_1):.1%}"} if top_1 else {}),
    }
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())


def _table(report: Report, executor: str) -> str:
    heads = "".join(f"<th>{name}</th>" for name in ("images", *(head for head, _ in COLUMNS.values())))
    rows = "".join(_row(row) for row in report.rows if row.executor == executor)
    reduced = (
        " Images of the kind reduced are large JPEGs that the CPU decodes at a fraction of their size; an executor “in "
        "full” decodes just these, and whole."
        if any(row.executor == executor and row.kind == REDUCED for row in report.rows)
        else ""
    )
    return (
        f'<h2>{escape(executor)}</h2><p class="soft">Against the reference. Differences of pixels are in 0…255; the '
        "mean is over all images of a kind, 99%, maximum and the drifts are of its worst. Generated scenes show "
        "nothing that a model knows, so their best classes are near ties."
        f"{reduced}</p>"
        f'<div class="scroll"><table><thead><tr><th>kind</th>{heads}<th>looks like</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(row: Row) -> str:
    limits = {exceeded.measure: exceeded.limit for exceeded in row.exceeded}
    measured = "".join(_cell(text, measure, limits.get(measure)) for measure, text in cells(row))
    style = ' class="sum"' if row.kind in SUMS else ""
    head = f"<tr{style}><td>{escape(row.kind)}</td><td>{row.images}</td>"
    return f"{head}{measured}<td>{escape(row.looks_like or '')}</td></tr>"


def _cell(text: str, measure: str, exceeded: float | None) -> str:
    if exceeded is None:
        return f"<td>{text}</td>"
    bound = "at least" if measure in AT_LEAST else "at most"
    return f'<td class="off">{text}<small>{bound} {COLUMNS[measure][1].format(exceeded)}</small></td>'


_MEANING = {
    Why.FURTHEST_OFF: "What training saw, what is served, and where the two differ.",
    Why.FLIPPED: "Less far off, but the model finds another class best. What it was surest of comes first.",
}


def _gallery(report: Report) -> str:
    return "".join(_worst(report, executor, why) for executor in report.executors for why in Why)


def _worst(report: Report, executor: str, why: Why) -> str:
    of = [worst for worst in report.worst if worst.case.executor == executor and worst.why is why]
    if not of:
        return ""
    return (
        f"<h2>{why.value}{f', {escape(executor)}' if len(report.executors) > 1 else ''}</h2>"
        f'<p class="soft">{_MEANING[why]}</p><div class="cases">'
        f"{''.join(_case(worst, report.labels) for worst in of)}</div>"
    )


def _case(worst: Worst, labels: tuple[str, ...]) -> str:
    case = worst.case
    expected, found = (f"<br>{_best(best, labels)}" for best in case.scores.top_1) if case.scores else ("", "")
    factor = _amplification(case.pixels.p99)
    difference = np.abs(case.reference.astype(np.int16) - case.served) * factor
    figures = (
        (case.reference, f"reference{expected}"),
        (case.served, f"served{found}"),
        (np.minimum(difference, 255).astype(np.uint8), f"difference &times; {factor}"),
    )
    scores = (
        f" · logits <b>{case.scores.logit_drift:.2f}</b> · top-5 <b>{case.scores.top_5:.0%}</b>" if case.scores else ""
    )
    flipped = " · <b>another best class</b>" if case.flipped else ""
    cause = f'<p><span class="badge bad">looks like: {escape(worst.looks_like)}</span></p>' if worst.looks_like else ""
    return (
        f"<article><h3>{escape(case.specimen.name)}</h3>"
        f'<div class="strip">{"".join(_figure(*figure) for figure in figures)}</div>'
        f"<p>mean <b>{case.pixels.mean:.2f}</b> · 99% <b>{case.pixels.p99:.0f}</b> · max "
        f"<b>{case.pixels.maximum:.0f}</b> · embedding <b>{case.embedding_drift:.3f}</b>{scores}{flipped}</p>"
        f"{cause}</article>"
    )


def _amplification(p99: float) -> int:
    """The power of two that makes the difference's brightest hundredth nearly white."""
    factor = 1
    while factor < _MOST_AMPLIFIED and p99 * factor * 2 <= 255:
        factor *= 2
    return factor


def _best(best: Best, labels: tuple[str, ...]) -> str:
    return f"{escape(labels[best.index])} {best.score:.2f}"


def _figure(pixels: Pixels, caption: str) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    content = base64.b64encode(buffer.getvalue()).decode()
    return f'<figure><img src="data:image/png;base64,{content}" alt=""><figcaption>{caption}</figcaption></figure>'


def _foot(report: Report) -> str:
    refused = "".join(
        f"<li><code>{escape(each.specimen.name)}</code> {escape(each.executor)}: "
        f"{'the reference reads it; ' if each.by_executor else 'only the executor reads it; '}"
        f"{escape(each.by_executor or each.by_reference or '')}</li>"
        for each in report.refusals
        if not each.by_both
    )
    listed = f"<h2>Read by one side only</h2><ul>{refused}</ul>" if refused else ""
    return f"{listed}<footer>{escape(report.model)} <code>{escape(report.digest)}</code></footer>"
