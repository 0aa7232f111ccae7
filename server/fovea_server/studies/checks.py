"""What no single field of a declaration can know: whether all of them go together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fovea_server.errors import BadExperiment
from fovea_server.studies import metrics
from fovea_server.studies.fields import listed

if TYPE_CHECKING:
    from fovea_server.studies.declaration import Experiment

KINDS = ("split", "canary", "shadow")
UNITS = ("unit", "key", "request")
RULES = ("better", "not_worse")

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
_LONGEST = 255  # characters of a model's name with its version: what a PostgreSQL takes
_SUM_TOLERANCE = 1e-9


def check(experiment: Experiment) -> None:
    """Raise BadExperiment with one sentence that names the field."""
    _check_names(experiment)
    _check_weights(experiment)
    _check_metric(experiment)
    _check_numbers(experiment)
    if experiment.kind != "split" and len(experiment.arms) != 2:
        raise BadExperiment(
            f"arms: a {experiment.kind} has two, the control and the candidate, not {len(experiment.arms)}"
        )
    if experiment.start and experiment.end and experiment.end <= experiment.start:
        raise BadExperiment(f"end: {experiment.end.isoformat()} is not after the start, {experiment.start.isoformat()}")


def _check_names(experiment: Experiment) -> None:
    for where, name in (("name", experiment.name), *(("arms.name", arm.name) for arm in experiment.arms)):
        if not _NAME.match(name):
            raise BadExperiment(f"{where}: {name[:80]!r} is not 1 to 63 of a-z 0-9 _ -")
    for where, model in (("model", experiment.model), *(("arms.model", arm.target) for arm in experiment.arms)):
        if not model or len(model) > _LONGEST or not model.isprintable():
            raise BadExperiment(f"{where}: {model[:80]!r} is not 1 to {_LONGEST} characters that can be printed")
    names = [arm.name for arm in experiment.arms]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadExperiment(f"arms.name: there are two arms called {twice[0]}")
    targets = [arm.target for arm in experiment.arms]
    if experiment.kind != "split" and len(set(targets)) < len(targets):
        raise BadExperiment(f"arms.model: both arms of a {experiment.kind} are {targets[0]}")
    for where, value, allowed in (
        ("kind", experiment.kind, KINDS),
        ("unit", experiment.unit, UNITS),
        ("decision.rule", experiment.decision.rule, RULES),
    ):
        if value not in allowed:
            raise BadExperiment(f"{where}: {value[:80]!r} is none of {listed(allowed)}")
    if len(experiment.salt.encode()) > 64:
        raise BadExperiment(f"salt: it has {len(experiment.salt.encode())} bytes; at most 64")


def _check_weights(experiment: Experiment) -> None:
    weights = [arm.weight for arm in experiment.arms]
    if experiment.kind != "split":
        if any(weights):
            raise BadExperiment(f"arms.weight: a {experiment.kind} has none; the steps, or nobody, meet the candidate")
        return
    if not any(weights):
        raise BadExperiment("arms.weight: no arm has one; give each its share of the requests (--arm NAME=MODEL:0.5)")
    if min(weights) <= 0 or max(weights) >= 1:
        raise BadExperiment(
            f"arms.weight: {listed(f'{weight:g}' for weight in weights)}; each must lie between 0 and 1"
        )
    if abs(sum(weights) - 1) > _SUM_TOLERANCE:
        raise BadExperiment(f"arms.weight: they sum to {sum(weights):.6g}; they must sum to 1")


def _check_metric(experiment: Experiment) -> None:
    metric = experiment.primary_metric
    if not metrics.is_known(metric):
        raise BadExperiment(
            f"primary_metric: nobody reports {metric[:80]!r}; there are {listed(metrics.KNOWN)}, event:NAME"
        )
    if metric == metrics.AGREEMENT and not experiment.is_copied:
        raise BadExperiment("primary_metric: nobody reports agreement without copies; set shadow_share")
    if metric == metrics.AGREEMENT and experiment.decision.rule != "not_worse":
        raise BadExperiment("decision.rule: of agreement it is not_worse: no candidate agrees more than wholly")
    if experiment.guardrails.disagreement is not None and not experiment.is_copied:
        raise BadExperiment("guardrails.disagreement: nobody reports it without copies; set shadow_share")
    if experiment.kind == "shadow" and not metrics.is_of_pairs(metric):
        raise BadExperiment(
            f"primary_metric: nobody but the control answers in a shadow; there are {listed(metrics.OF_PAIRS)}"
        )


def _check_numbers(experiment: Experiment) -> None:
    decision, guardrails, canary = experiment.decision, experiment.guardrails, experiment.canary
    for where, value, low, high in (
        ("abstain_below", experiment.abstain_below, 0, 1),
        ("shadow_share", experiment.shadow_share, 0, 1),
        ("minimum_sample", experiment.minimum_sample, 1, 10**9),
        ("decision.alpha", decision.alpha, 1e-6, 0.5),
        ("decision.power", decision.power, 0.5, 0.999),
        ("decision.smallest_effect", decision.smallest_effect, 1e-9, 1e9),
        ("guardrails.error_rate", guardrails.error_rate, 0, 1),
        ("guardrails.p99_ratio", guardrails.p99_ratio, 1, 1000),
        ("guardrails.disagreement", guardrails.disagreement, 0, 1),
        ("guardrails.worst_slice", guardrails.worst_slice, 0, 1),
        ("canary.hold_seconds", canary.hold_seconds, 0, 10**7),
        ("canary.hold_requests", canary.hold_requests, 1, 10**9),
    ):
        if value is not None and not low <= value <= high:
            raise BadExperiment(f"{where}: {value:g} is not from {low:g} to {high:g}")
    steps = canary.steps
    if not steps or list(steps) != sorted(set(steps)) or steps[0] <= 0 or steps[-1] != 1:
        raise BadExperiment(f"canary.steps: {listed(f'{s:g}' for s in steps)}; they must rise, from more than 0 to 1")
