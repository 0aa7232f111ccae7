"""Experiments and readouts as JSON, the same over REST and at the terminal."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from fovea_server import strict_json
from fovea_server.studies import verdict
from fovea_server.studies.plans import shares
from fovea_server.studies.readout import Comparison, Readout
from fovea_server.studies.store import Kept
from fovea_server.studies.strata import Apart

_METHODS = {
    "difference": "asymptotic confidence sequence, two-sided normal mixture: estimate +- se sqrt((1 + 1/t) "
    "log((1 + t) / alpha^2)); Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024, Annals of Statistics 52(6); Howard, "
    "Ramdas, McAuliffe, Sekhon 2021, Annals of Statistics 49(2), equation 14",
    "share": "beta-binomial mixture, exact at every sample size; Robbins 1970; Howard et al. 2021, section 3",
    "sample_ratio": "Bayes factor of the multinomial with a Dirichlet prior around the weights, valid at every look, "
    "alarm at p < 0.001; Lindon and Malek 2022, NeurIPS 35",
}


def of_kept(kept: Kept) -> dict[str, Any]:
    """An experiment and where it stands."""
    experiment = kept.experiment
    return {
        "name": kept.name,
        "state": kept.state,
        "kind": experiment.kind,
        "model": experiment.model,
        "arms": [
            {"name": arm.name, "model": arm.target, "share": share if kept.is_running else None}
            for arm, share in zip(experiment.arms, shares(kept), strict=True)
        ],
        "primary_metric": experiment.primary_metric,
        "stage": kept.stage,
        "started": moment(kept.started),
        "ended": moment(kept.ended),
        "answers_with": kept.answers_with,
        "version": kept.version,
    }


def of_readout(readout: Readout) -> dict[str, Any]:
    """All that an experiment says by now. What is not known is null."""
    document: dict[str, Any] = strict_json.finite(
        {
            **of_kept(readout.kept),
            "declaration": readout.kept.experiment.to_mapping(),
            "read_at": moment(readout.at),
            "seen": [asdict(arm) for arm in readout.arms],
            "sample_ratio": {**asdict(readout.sample_ratio), "mismatch": readout.sample_ratio.is_mismatch},
            "guardrail_broken": readout.broken,
            "comparisons": [_of_comparison(each) for each in readout.comparisons],
            "pairs": readout.pairs and asdict(readout.pairs),
            "disagreements": [asdict(each) for each in readout.disagreements],
            "verdicts": [asdict(each) for each in verdict.verdicts(readout)],
            "methods": _METHODS,
        }
    )
    return document


def moment(seconds: float | None) -> str | None:
    """Unix seconds as RFC 3339."""
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def _of_comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "arm": comparison.arm,
        "primary": _of_apart(comparison.primary),
        "error_rate": _of_apart(comparison.errors),
        "answers_wanted": comparison.wanted,
        "seconds_left": comparison.seconds_left,
        "slices": {name: _of_apart(each) for name, each in comparison.slices.items()},
    }


def _of_apart(apart: Apart) -> dict[str, Any]:
    return {
        "estimate": apart.estimate,
        "lower": apart.lower,
        "upper": apart.upper,
        "control": apart.control,
        "candidate": apart.candidate,
    }
