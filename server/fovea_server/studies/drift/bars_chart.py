"""Two histograms over the same bins as SVG: what was before above what is now, bin by bin.

The page gives the classes `before` and `now` their colours.
"""

from __future__ import annotations

import html

import numpy as np

from fovea_server.studies.drift.distances import Histograms

_WIDTH, _LEFT, _RIGHT, _ROW, _BAR = 720, 180, 60, 26, 9
_MOST_BINS = 12


def draw(histograms: Histograms) -> str:
    """An <svg> with the bins that differ most, if there are many; nothing where there are none."""
    totals = histograms.reference.sum(), histograms.current.sum()
    if not all(totals):
        return ""
    before, now = histograms.reference / totals[0], histograms.current / totals[1]
    widest = max(before.max(), now.max())
    chosen = sorted(np.argsort(-np.abs(now - before), kind="stable")[:_MOST_BINS])
    scale = (_WIDTH - _LEFT - _RIGHT) / widest
    rows = "".join(
        _row(place * _ROW, histograms.names[each], float(before[each]), float(now[each]), float(scale))
        for place, each in enumerate(chosen)
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {len(chosen) * _ROW + 4}" role="img" '
        f'aria-label="shares before and now">{rows}</svg>'
    )


def _row(top: float, name: str, before: float, now: float, scale: float) -> str:
    bars = "".join(
        f'<rect class="{kind}" x="{_LEFT}" y="{top + 2 + place * (_BAR + 1)}" '
        f'width="{max(share * scale, 0.5):.1f}" height="{_BAR}"/>'
        f'<text x="{_LEFT + share * scale + 4:.1f}" y="{top + 10 + place * (_BAR + 1)}">{share:.1%}</text>'
        for place, (kind, share) in enumerate((("before", before), ("now", now)))
    )
    short = name if len(name) <= 28 else f"{name[:27]}…"
    return f'<text x="{_LEFT - 8}" y="{top + 15}" text-anchor="end">{html.escape(short)}</text>{bars}'
