"""From experiments as they are kept to the plan that requests are routed by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timezone

from fovea_server.request.routing import Arm, Plan, Split
from fovea_server.studies.declaration import Experiment
from fovea_server.studies.store import Kept


def plan_of(kept: Iterable[Kept], pointers: Mapping[str, str], now: float, held_back: Collection[str] = ()) -> Plan:
    """What is in force at `now`, Unix seconds. Of the experiments that are held back nobody meets a candidate."""
    splits = {}
    pointers = dict(pointers)
    for each in kept:
        if not each.is_running:
            continue
        experiment = each.experiment
        if is_within(experiment, now):
            splits[experiment.model] = _split(each, shares(each) if each.name not in held_back else _nobody(experiment))
        else:
            pointers[experiment.model] = experiment.control.target
    return Plan(splits, pointers)


def is_within(experiment: Experiment, now: float) -> bool:
    moment = datetime.fromtimestamp(now, timezone.utc)
    return (experiment.start is None or experiment.start <= moment) and not has_ended(experiment, now)


def has_ended(experiment: Experiment, now: float) -> bool:
    return experiment.end is not None and experiment.end <= datetime.fromtimestamp(now, timezone.utc)


def shares(kept: Kept) -> tuple[float, ...]:
    """Of the units, in the order of the arms."""
    experiment = kept.experiment
    if experiment.kind == "split":
        return tuple(arm.weight for arm in experiment.arms)
    if experiment.kind == "canary":
        share = experiment.canary.steps[kept.stage]
        return 1 - share, share
    return _nobody(experiment)


def _nobody(experiment: Experiment) -> tuple[float, ...]:
    return 1.0, *(0.0 for _ in experiment.candidates)


def _split(kept: Kept, shares: tuple[float, ...]) -> Split:
    experiment = kept.experiment
    arms = [Arm(arm.name, arm.target, share) for arm, share in zip(experiment.arms, shares, strict=True)]
    return Split(
        experiment.name,
        experiment.salt,
        experiment.unit,
        tuple(arms),
        kept.stage,
        shadow=arms[1] if experiment.is_copied else None,
        shadow_share=experiment.shadow_share or 1.0,
    )
