"""What an experiment says by now: estimates with their confidence sequences, per slice, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fovea_server.studies import accuracy, counts, metrics, power, sample_ratio, sequences
from fovea_server.studies.canary import broken_guardrail
from fovea_server.studies.counts import Counted, Counts, Sample
from fovea_server.studies.declaration import Experiment
from fovea_server.studies.observations import Disagreement
from fovea_server.studies.paired import McNemar
from fovea_server.studies.plans import shares
from fovea_server.studies.sample_ratio import SampleRatio
from fovea_server.studies.store import Kept
from fovea_server.studies.strata import Apart, Pair, apart, by_stage, errors_apart
from fovea_server.studies.truth import Labelled


@dataclass(frozen=True)
class Evidence:
    """All that was seen of an experiment. `units` that met each arm at its stage, by each process."""

    counted: Counted
    units: Sequence[Sequence[int]] = ()
    labelled: Sequence[Labelled] = ()
    pairs: McNemar | None = None
    disagreements: Sequence[Disagreement] = ()


@dataclass(frozen=True)
class ArmSeen:
    """Of one arm: how many met it, what became of them, and the mean of the primary metric."""

    name: str
    target: str
    exposed: int
    error_rate: float
    p50_ms: float
    p99_ms: float
    observations: int
    primary: float


@dataclass(frozen=True)
class Comparison:
    """A candidate against the control by the primary metric; `errors` by the error rate.

    wanted        answers of both arms together that are planned for, None where nobody can tell yet
    seconds_left  until they are there, at the pace of so far
    slices        the same comparison in each slice of the traffic
    """

    arm: str
    primary: Apart
    errors: Apart
    wanted: int | None
    seconds_left: float | None
    slices: dict[str, Apart]


@dataclass(frozen=True)
class Readout:
    kept: Kept
    at: float
    arms: tuple[ArmSeen, ...]
    sample_ratio: SampleRatio
    broken: str | None
    comparisons: tuple[Comparison, ...]
    pairs: McNemar | None
    disagreements: Sequence[Disagreement]


def read(kept: Kept, evidence: Evidence, now: float) -> Readout:
    """`now` in Unix seconds."""
    experiment = kept.experiment
    return Readout(
        kept,
        now,
        tuple(_seen(experiment, arm.name, evidence) for arm in experiment.arms),
        sample_ratio.check(evidence.units, shares(kept)),
        broken_guardrail(experiment, evidence.counted),
        tuple(_compared(kept, arm.name, evidence, now) for arm in experiment.candidates),
        evidence.pairs,
        evidence.disagreements,
    )


def primary(kept: Kept, candidate: str, evidence: Evidence, slice_: str = "", family: int = 1) -> Apart:
    """The candidate less the control by the primary metric. `family` intervals hold together."""
    experiment = kept.experiment
    alpha = experiment.decision.alpha / len(experiment.candidates) / family
    if experiment.primary_metric == metrics.AGREEMENT:
        return _disagreement(counts.of_arms(evidence.counted).get(candidate, Counts()), alpha)
    pairs = _pairs(kept, candidate, evidence, slice_)
    return apart(pairs, _information(experiment, alpha), alpha)


def _information(experiment: Experiment, alpha: float) -> float:
    return power.information(experiment.decision.smallest_effect, alpha, experiment.decision.power)


def _pairs(kept: Kept, candidate: str, evidence: Evidence, slice_: str) -> list[Pair]:
    experiment = kept.experiment
    control = experiment.control.name
    if experiment.primary_metric == metrics.ACCURACY:
        chosen = [each for each in evidence.labelled if not slice_ or slice_ in each.slices]
        return accuracy.pairs(chosen, kept.stages_at, control, candidate)
    counted = by_stage(evidence.counted, control, candidate, slice_)
    return [(_sample(experiment, one), _sample(experiment, other)) for one, other in counted]


def _sample(experiment: Experiment, counted: Counts) -> Sample:
    """Of the primary metric, as the gateways count it."""
    metric = experiment.primary_metric
    if metric == metrics.LATENCY:
        return counted.latency.sample()
    if metric == metrics.ERRORS:
        return counted.errors()
    if metric == metrics.ABSTENTION:
        return Sample.of_share(counted.abstained, counted.answered)
    event = metrics.event_of(metric)
    assert event is not None, metric
    return counted.events.get(event, counts.Moments()).sample()


def _disagreement(counted: Counts, alpha: float) -> Apart:
    """How much less than wholly the candidate agrees with the control."""
    if not counted.compared:
        return Apart(math.nan, -math.inf, math.inf, math.inf, 0, 0)
    share = Sample.of_share(counted.differed, counted.compared)
    interval = sequences.share(counted.differed, counted.compared, alpha)
    variance = share.variance / share.count
    return Apart(-share.mean, -float(interval.upper), -float(interval.lower), variance, share.count, share.count)


def _compared(kept: Kept, candidate: str, evidence: Evidence, now: float) -> Comparison:
    experiment = kept.experiment
    alpha = experiment.decision.alpha / len(experiment.candidates)
    found = primary(kept, candidate, evidence)
    reached, wanted = 1 / found.variance if found.variance > 0 else 0.0, _information(experiment, alpha)
    elapsed = (kept.ended or now) - (kept.started or now)
    return Comparison(
        candidate,
        found,
        errors_apart(evidence.counted, experiment.control.name, candidate, alpha),
        math.ceil((found.control + found.candidate) * wanted / reached) if reached > 0 else None,
        power.seconds_left(wanted, reached, elapsed),
        _slices(kept, candidate, evidence),
    )


def _slices(kept: Kept, candidate: str, evidence: Evidence) -> dict[str, Apart]:
    """Agreement is not told apart by slices. All intervals hold together."""
    if kept.experiment.primary_metric == metrics.AGREEMENT:
        return {}
    names = {*counts.slices(evidence.counted), *(name for each in evidence.labelled for name in each.slices)}
    return {name: primary(kept, candidate, evidence, name, len(names)) for name in sorted(names)}


def _seen(experiment: Experiment, arm: str, evidence: Evidence) -> ArmSeen:
    counted = counts.of_arms(evidence.counted).get(arm, Counts())
    if experiment.primary_metric == metrics.ACCURACY:
        sample = accuracy.of_units([each for each in evidence.labelled if each.arm == arm])
    elif experiment.primary_metric == metrics.AGREEMENT:
        sample = Sample.of_share(counted.compared - counted.differed, counted.compared)
    else:
        sample = _sample(experiment, counted)
    return ArmSeen(
        arm,
        experiment.arm(arm).target,
        counted.exposed,
        counted.errors().mean,
        counted.latency_at(0.5),
        counted.latency_at(0.99),
        sample.count,
        sample.mean,
    )
