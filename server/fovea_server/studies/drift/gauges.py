"""Comparisons as a file for the textfile collector of Prometheus' node_exporter, for whoever compares by the clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fovea_server import exposition
from fovea_server.exposition import Family
from fovea_server.studies.drift.changes import Level
from fovea_server.studies.drift.comparison import Comparison

_LEVELS = {Level.STEADY: 0.0, Level.MOVED: 1.0, Level.DRIFTED: 2.0}
_Sample = tuple[dict[str, str], float]


def text(comparisons: Sequence[Comparison], at: float) -> bytes:
    """Of comparisons made `at`, in seconds since 1970. What cannot be told has no series."""
    told = [(each, change) for each in comparisons for change in each.changes if change.level in _LEVELS]
    effects = [
        ({"model": each.model, "feature": change.feature, "measure": change.measure.label}, change.effect)
        for each, change in told
        if change.effect is not None
    ]
    levels = [({"model": each.model, "feature": change.feature}, _LEVELS[change.level]) for each, change in told]
    compared = [({"model": each.model}, at) for each in comparisons]
    return exposition.text(
        [
            _gauge("fovea_drift_effect", "How far a feature lies from its reference, in its measure", effects),
            _gauge("fovea_drift_level", "0 steady, 1 moved, 2 drifted", levels),
            _gauge("fovea_drift_compared_timestamp_seconds", "When it was compared", compared),
        ]
    )


def _gauge(name: str, documentation: str, samples: Iterable[_Sample]) -> Family:
    return Family(name, "gauge", documentation, {(name, tuple(labels.items())): value for labels, value in samples})
