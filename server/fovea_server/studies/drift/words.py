"""Changes in words, the same on the page and at the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from fovea_server.studies.drift.changes import Change, Level, Measure
from fovea_server.studies.drift.comparison import Comparison

_ORDER = (Level.DRIFTED, Level.MOVED, Level.STEADY, Level.TOO_FEW)


def summary(comparison: Comparison) -> str:
    """What drifted, and what moved, in a sentence."""
    said = [
        f"{', '.join(found)} {word}"
        for level, word in ((Level.DRIFTED, "drifted"), (Level.MOVED, "moved"))
        if (found := [change.feature for change in comparison.changes if change.level is level])
    ]
    return "; ".join(said) or "nothing drifted"


def ordered(changes: Sequence[Change]) -> list[Change]:
    """What matters first."""
    return sorted(changes, key=lambda change: _ORDER.index(change.level))


def effect(change: Change) -> str:
    """With its unit; nothing where it cannot be told."""
    if change.effect is None:
        return ""
    if change.measure is Measure.POINTS:
        points = f"{abs(change.effect) * 100:.1f} points"
        return points if points == "0.0 points" else f"{'worse' if change.effect > 0 else 'better'} by {points}"
    return f"{change.measure.label} {change.effect:.2f}"


def p_value(change: Change) -> str:
    """That so much is chance, with all that was looked at."""
    if change.p_value is None:
        return ""
    return "<0.001" if change.p_value < 0.001 else f"{change.p_value:.3f}"
