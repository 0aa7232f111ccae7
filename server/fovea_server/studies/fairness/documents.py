"""Slices against the rest as JSON, for programs. What is not known is null."""

from __future__ import annotations

from typing import Any

from fovea_server import strict_json
from fovea_server.studies.fairness.gaps import ALPHA, NOTICED, Fairness, Gap
from fovea_server.studies.proportions import Difference, Share


def of_fairness(fairness: Fairness) -> dict[str, Any]:
    """Everything that the table says, with the limits."""
    document: dict[str, Any] = strict_json.finite(
        {
            "model": fairness.model,
            "fair": not fairness.worse,
            "window": fairness.sample.source,
            "right": _share(fairness.right),
            "slices": [_gap(gap) for gap in fairness.gaps],
            "alpha": ALPHA,
            "noticed": NOTICED,
        }
    )
    return document


def _gap(gap: Gap) -> dict[str, Any]:
    return {
        "slice": gap.slice,
        "level": gap.level.value,
        "right": _share(gap.right),
        "rest": _share(gap.rest),
        "difference": _difference(gap.difference),
        "among_alike_labels": _difference(gap.alike),
        "surer_than_right": gap.surplus,
        "refused": _share(gap.refused) if gap.refused else None,
        "p_value": gap.p_value,
    }


def _share(share: Share) -> dict[str, Any]:
    lower, upper = share.interval()
    return {"share": share.value, "lower": lower, "upper": upper, "count": share.count}


def _difference(difference: Difference) -> dict[str, Any]:
    known = difference.estimate == difference.estimate
    return {
        "estimate": difference.estimate,
        "lower": difference.lower if known else None,
        "upper": difference.upper if known else None,
    }
