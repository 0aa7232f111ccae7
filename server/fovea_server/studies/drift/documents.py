"""A comparison as JSON, for programs. What is not known is null."""

from __future__ import annotations

from typing import Any

from fovea_server import strict_json
from fovea_server.studies.drift.changes import ALPHA, Change, Measure
from fovea_server.studies.drift.comparison import Comparison
from fovea_server.studies.drift.distances import Histograms
from fovea_server.studies.traffic.samples import Sample


def of_comparison(comparison: Comparison) -> dict[str, Any]:
    """Everything that the page and the table say, with the limits."""
    document: dict[str, Any] = strict_json.finite(
        {
            "model": comparison.model,
            "drifted": comparison.has_drifted,
            "reference": _sample(comparison.reference),
            "current": _sample(comparison.current),
            "changes": [_change(change) for change in comparison.changes],
            "least_like_the_reference": [{"image_sha256": digest, "id": each} for digest, each in comparison.newest],
            "alpha": ALPHA,
            "limits": {each.label: {"moved": each.moved, "drifted": each.drifted} for each in Measure},
        }
    )
    return document


def _sample(sample: Sample) -> dict[str, Any]:
    return {
        "window": sample.source,
        "answers": sample.answers,
        "images": sample.images,
        "images_compared": sample.rows.num_rows,
        "embeddings_compared": len(sample.embeddings),
        "answered_by": list(sample.answered_by),
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "feature": change.feature,
        "level": change.level.value,
        "measure": change.measure.label,
        "effect": change.effect,
        "p_value": change.p_value,
        "before": change.before,
        "now": change.now,
        "why": change.why or None,
        "histogram": _histogram(change.histograms) if change.histograms else None,
    }


def _histogram(histograms: Histograms) -> dict[str, Any]:
    return {
        "bins": list(histograms.names),
        "reference": [int(count) for count in histograms.reference],
        "current": [int(count) for count in histograms.current],
    }
