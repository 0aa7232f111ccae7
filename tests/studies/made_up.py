"""Experiments and counts made by code."""

from __future__ import annotations

from typing import Any

from fovea_server.studies.counts import Counts, Place
from fovea_server.studies.declaration import Experiment

TWO_ARMS = [
    {"name": "control", "model": "alpha", "weight": 0.5},
    {"name": "candidate", "model": "beta", "weight": 0.5},
]
UNWEIGHTED = [{"name": "control", "model": "alpha"}, {"name": "candidate", "model": "beta"}]


def split(**fields: Any) -> Experiment:
    return Experiment.read({"name": "trial", "model": "alpha", "arms": TWO_ARMS} | fields)


def canary(**fields: Any) -> Experiment:
    return Experiment.read({"name": "trial", "model": "alpha", "kind": "canary", "arms": UNWEIGHTED} | fields)


def shadow(**fields: Any) -> Experiment:
    metric = {"primary_metric": "agreement", "decision": {"rule": "not_worse", "smallest_effect": 0.05}}
    return Experiment.read({"name": "trial", "model": "alpha", "kind": "shadow", "arms": UNWEIGHTED} | metric | fields)


def counted(answered: int = 0, failed: int = 0, milliseconds: float = 10.0, **others: int) -> Counts:
    """So many answers of one latency each, and so many failures."""
    counts = Counts(failed=failed, **others)
    for _ in range(answered):
        counts.answer(milliseconds, abstained=False)
    return counts


def place(arm: str, stage: int = 0, slice_: str = "") -> Place:
    return Place("trial", stage, arm, slice_)
