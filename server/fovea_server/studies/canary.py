"""What becomes of a canary: held at its step, raised to the next, or taken back. Pure: counts in, a decision out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fovea_server.studies import counts, sequences
from fovea_server.studies.counts import Counted, Counts
from fovea_server.studies.declaration import Experiment
from fovea_server.studies.strata import each_stage, errors_apart

_TAIL = 0.01  # of the answers are slower than the 99th percentile


@dataclass(frozen=True)
class Step:
    """`why` is for the journal."""

    act: Literal["hold", "advance", "promote", "roll back"]
    why: str


def decide(experiment: Experiment, counted: Counted, stage: int, held_seconds: float) -> Step:
    """What to do with a canary that has been at this stage for so long."""
    if broken := broken_guardrail(experiment, counted):
        return Step("roll back", broken)
    canary = experiment.canary
    served = counts.of_arms(counted, stage).get(experiment.candidate.name, Counts()).exposed
    if held_seconds < canary.hold_seconds or served < canary.hold_requests:
        return Step(
            "hold",
            f"at {canary.steps[stage]:.0%} for {held_seconds:.0f} of {canary.hold_seconds:.0f} s, "
            f"{served:,} of {canary.hold_requests:,} requests",
        )
    passed = f"held {held_seconds:.0f} s and {served:,} requests at {canary.steps[stage]:.0%} without a finding"
    if stage + 1 < len(canary.steps):
        return Step("advance", passed)
    return Step("promote", passed)


def broken_guardrail(experiment: Experiment, counted: Counted) -> str | None:
    """The first guardrail that a candidate breaks, in words with its figures; None where all hold.

    Each is tested so that over all looks together it is wrong at most at the experiment's `alpha`.
    """
    for candidate in experiment.candidates:
        for guard in (_errors, _latency, _disagreement, _worst_slice):
            if broken := guard(experiment, candidate.name, counted):
                return f"{candidate.name}: {broken}"
    return None


def _errors(experiment: Experiment, candidate: str, counted: Counted) -> str | None:
    allowed = experiment.guardrails.error_rate
    return None if allowed is None else _more_errors(experiment, candidate, counted, allowed, "")


def _more_errors(
    experiment: Experiment, candidate: str, counted: Counted, allowed: float, slice_: str, alpha: float | None = None
) -> str | None:
    apart = errors_apart(counted, experiment.control.name, candidate, alpha or experiment.decision.alpha, slice_)
    if apart.lower <= allowed:
        return None
    where = f" where {slice_}" if slice_ else ""
    return (
        f"its error rate{where} is {apart.estimate:+.2%} against the control's, certainly more than {allowed:.2%} "
        f"(confidence sequence {apart.lower:+.2%} to {apart.upper:+.2%}, {apart.candidate:,} requests of the candidate)"
    )


def _latency(experiment: Experiment, candidate: str, counted: Counted) -> str | None:
    """More than 1% of the candidate's answers must be slower than so many times the control's 99th percentile.

    In one step, for the load changes from step to step; all the steps share the `alpha`.
    """
    allowed = experiment.guardrails.p99_ratio
    if allowed is None:
        return None
    alpha = experiment.decision.alpha / (len(experiment.canary.steps) if experiment.kind == "canary" else 1)
    for control, tried in each_stage(counted, experiment.control.name, candidate):
        limit = allowed * control.latency_at(1 - _TAIL)
        slower = tried.slower_than(limit)
        if slower > _TAIL * tried.answered and _is_slower(control, tried, allowed, alpha):
            return (
                f"{slower:,} of its {tried.answered:,} answers took more than {limit:.1f} ms, {allowed:g} times the "
                f"control's 99th percentile; its own is {tried.latency_at(1 - _TAIL):.1f} ms"
            )
    return None


def _is_slower(control: Counts, tried: Counts, allowed: float, alpha: float) -> bool:
    """Nobody knows the control's 99th percentile, so each that it could be must be contradicted: by the control, of
    whose answers less than 1% are beyond it, by the candidate, of whose answers more than 1% are beyond so many times
    it, or by the two together. They are independent, so the product of their evidence is evidence, and so is the mean
    of all three (Ramdas, Grunwald, Vovk, Shafer 2023, Game-theoretic statistics and safe anytime-valid inference,
    Statistical Science 38(4)); at the true percentile it is ever 1 / alpha with a chance of alpha at the most.
    """
    edges = control.latency_edges()
    beyond = [control.slower_than(edge) for edge in (0.0, *edges)]
    slower = [tried.slower_than(allowed * edge) for edge in (*edges, math.inf)]
    rarer, _ = sequences.evidence(beyond, control.answered, _TAIL)
    _, oftener = sequences.evidence(slower, tried.answered, _TAIL)
    mean = np.logaddexp.reduce([rarer, oftener, rarer + oftener]) - math.log(3)
    return bool((mean >= -math.log(alpha)).all())


def _disagreement(experiment: Experiment, candidate: str, counted: Counted) -> str | None:
    allowed = experiment.guardrails.disagreement
    tried = counts.of_arms(counted).get(candidate, Counts())
    if allowed is None or not tried.compared:
        return None
    lower = float(sequences.share(tried.differed, tried.compared, experiment.decision.alpha).lower)
    if lower <= allowed:
        return None
    return (
        f"it disagrees with the control on {tried.differed:,} of {tried.compared:,} images, certainly on more than "
        f"{lower:.2%}; {allowed:.2%} are allowed"
    )


def _worst_slice(experiment: Experiment, candidate: str, counted: Counted) -> str | None:
    """All slices share the `alpha` (Bonferroni)."""
    allowed, slices = experiment.guardrails.worst_slice, counts.slices(counted)
    if allowed is None or not slices:
        return None
    alpha = experiment.decision.alpha / len(slices)
    for each in slices:
        if broken := _more_errors(experiment, candidate, counted, allowed, each, alpha):
            return broken
    return None
