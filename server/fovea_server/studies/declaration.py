"""An experiment as it is declared: read from TOML or JSON, checked field by field, frozen."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from fovea_server.errors import BadExperiment
from fovea_server.request.routing import UnitKind
from fovea_server.studies import metrics

KINDS = ("split", "canary", "shadow")
UNITS: tuple[UnitKind, ...] = ("unit", "key", "request")
RULES = ("better", "not_worse")
STEPS = (0.01, 0.05, 0.25, 0.5, 1.0)

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
_SUM_TOLERANCE = 1e-9


@dataclass(frozen=True)
class DeclaredArm:
    """`version` None is whichever is in service; `weight` is the share of the units in a split."""

    name: str
    model: str
    version: str | None = None
    weight: float = 0.0

    @property
    def target(self) -> str:
        """What the catalogue calls it."""
        return f"{self.model}@{self.version}" if self.version else self.model


@dataclass(frozen=True)
class Decision:
    """When an experiment may end.

    rule             "better": the candidate must be; "not_worse": than the control by more than the smallest effect
    smallest_effect  the difference worth finding, in units of the primary metric
    alpha            how often at most a difference may be claimed that is not there, however often one looks
    power            how often a difference of the smallest effect must be found at the planned sample
    """

    rule: str = "better"
    smallest_effect: float = 0.02
    alpha: float = 0.05
    power: float = 0.95


@dataclass(frozen=True)
class Guardrails:
    """What ends a rollout whatever the primary metric says; None is not guarded.

    error_rate    how much higher the candidate's share of errors may be, 0 to 1
    p99_ratio     how many times the control's 99th percentile of the latency may be
    disagreement  on which share of the copied images the two may differ; wants `shadow_share`
    worst_slice   how much worse the primary metric, or else the error rate, may be in any one slice
    """

    error_rate: float | None = 0.0
    p99_ratio: float | None = 1.5
    disagreement: float | None = None
    worst_slice: float | None = None


@dataclass(frozen=True)
class CanarySteps:
    """Shares of the candidate, and how long each is held at the least: seconds, and requests it has served."""

    steps: tuple[float, ...] = STEPS
    hold_seconds: float = 600.0
    hold_requests: int = 400


@dataclass(frozen=True)
class Experiment:
    """One declaration. The first arm is the control.

    model           what callers ask for when they meet it
    salt            of the assignment; another salt deals the units anew
    abstain_below   an answer whose best score is lower counts as an abstention
    minimum_sample  answers of each arm before anything is decided
    shadow_share    of the requests that are copied to the candidate
    """

    name: str
    model: str
    arms: tuple[DeclaredArm, ...]
    kind: str = "split"
    unit: UnitKind = "unit"
    salt: str = ""
    start: datetime | None = None
    end: datetime | None = None
    primary_metric: str = "accuracy"
    higher_is_better: bool | None = None
    abstain_below: float = 0.5
    minimum_sample: int = 100
    shadow_share: float = 0.0
    decision: Decision = field(default_factory=Decision)
    guardrails: Guardrails = field(default_factory=Guardrails)
    canary: CanarySteps = field(default_factory=CanarySteps)

    @property
    def control(self) -> DeclaredArm:
        return self.arms[0]

    @property
    def candidates(self) -> tuple[DeclaredArm, ...]:
        return self.arms[1:]

    @property
    def candidate(self) -> DeclaredArm:
        """The only one of a canary or a shadow."""
        return self.arms[1]

    @property
    def prefers_more(self) -> bool:
        """Whether more of the primary metric is better."""
        return metrics.prefers_more(self.primary_metric, self.higher_is_better)

    @property
    def is_copied(self) -> bool:
        return self.kind == "shadow" or self.shadow_share > 0

    def arm(self, name: str) -> DeclaredArm:
        """Raises BadExperiment."""
        for each in self.arms:
            if each.name == name:
                return each
        raise BadExperiment(
            f"arm: {self.name} has none called {name[:80]!r}; it has {_list(a.name for a in self.arms)}"
        )

    def to_mapping(self) -> dict[str, Any]:
        """As it would be written in TOML; `read` gives the same experiment back."""
        mapping: dict[str, Any] = _without_none(dataclasses.asdict(self))
        return mapping

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> Experiment:
        """From parsed TOML or JSON. Raises BadExperiment with one sentence that names the field."""
        values = _fields_of(cls, table, "")
        values["arms"] = tuple(_read_part(DeclaredArm, arm, f"arms[{place}]") for place, arm in _arms(table))
        for name, part in (("decision", Decision), ("guardrails", Guardrails), ("canary", CanarySteps)):
            values[name] = _read_part(part, table.get(name, {}), name)
        for name in ("name", "model"):
            if name not in values:
                raise BadExperiment(f"{name}: it is missing; every experiment has one")
        experiment = cls(**values)
        experiment = dataclasses.replace(experiment, salt=experiment.salt or experiment.name)
        _check(experiment)
        return experiment


def _arms(table: Mapping[str, Any]) -> Sequence[tuple[int, Any]]:
    arms = table.get("arms", ())
    if not isinstance(arms, (list, tuple)) or len(arms) < 2:
        raise BadExperiment("arms: there must be two or more, the control first")
    return list(enumerate(arms))


def _read_part(part: Any, table: Any, where: str) -> Any:
    if not isinstance(table, Mapping):
        raise BadExperiment(f"{where}: it must be a table, not {table!r:.40}")
    values = _fields_of(part, table, f"{where}.")
    needed = [each.name for each in dataclasses.fields(part) if _is_needed(each) and each.name not in values]
    if needed:
        raise BadExperiment(f"{where}.{needed[0]}: it is missing")
    return part(**values)


def _is_needed(each: dataclasses.Field[Any]) -> bool:
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING


def _fields_of(part: Any, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values of the table, each of its field's kind."""
    known = {each.name: str(each.type) for each in dataclasses.fields(part)}
    if unknown := sorted(set(table) - set(known)):
        raise BadExperiment(f"{where}{unknown[0]}: there is no such field; there are {_list(known)}")
    return {
        name: _value(f"{where}{name}", known[name], value) for name, value in table.items() if _is_plain(known[name])
    }


def _is_plain(kind: str) -> bool:
    return kind not in ("tuple[DeclaredArm, ...]", "Decision", "Guardrails", "CanarySteps")


def _value(where: str, kind: str, value: Any) -> Any:
    wanted = kind.removesuffix(" | None")
    if value is None and wanted != kind:
        return None
    if wanted == "datetime":
        return _moment(where, value)
    if wanted == "tuple[float, ...]":
        if not isinstance(value, (list, tuple)):
            raise BadExperiment(f"{where}: it must be a list of numbers, not {value!r:.40}")
        return tuple(_number(where, each) for each in value)
    if wanted == "float":
        return _number(where, value)
    types: dict[str, type] = {"str": str, "UnitKind": str, "int": int, "bool": bool}
    if not isinstance(value, types[wanted]) or (wanted == "int" and isinstance(value, bool)):
        raise BadExperiment(f"{where}: it must be {_KINDS[wanted]}, not {value!r:.40}")
    return value


_KINDS = {"str": "text", "UnitKind": "text", "int": "a whole number", "bool": "true or false"}


def _number(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadExperiment(f"{where}: it must be a number, not {value!r:.40}")
    return float(value)


def _moment(where: str, value: Any) -> datetime:
    """A time without a zone is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            value = None
    if not isinstance(value, datetime):
        raise BadExperiment(f"{where}: it must be a moment such as 2026-01-31T12:00:00Z")
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)


def _check(experiment: Experiment) -> None:
    """What no single field can know."""
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
            raise BadExperiment(f"{where}: {value[:80]!r} is none of {_list(allowed)}")
    if len(experiment.salt.encode()) > 64:
        raise BadExperiment(f"salt: it has {len(experiment.salt.encode())} bytes; at most 64")


def _check_weights(experiment: Experiment) -> None:
    weights = [arm.weight for arm in experiment.arms]
    if experiment.kind != "split":
        if any(weights):
            raise BadExperiment(f"arms.weight: a {experiment.kind} has none; the steps, or nobody, meet the candidate")
        return
    if min(weights) <= 0 or max(weights) >= 1:
        raise BadExperiment(f"arms.weight: {_list(f'{weight:g}' for weight in weights)}; each must lie between 0 and 1")
    if abs(sum(weights) - 1) > _SUM_TOLERANCE:
        raise BadExperiment(f"arms.weight: they sum to {sum(weights):.6g}; they must sum to 1")


def _check_metric(experiment: Experiment) -> None:
    metric = experiment.primary_metric
    if not metrics.is_known(metric):
        raise BadExperiment(
            f"primary_metric: nobody reports {metric[:80]!r}; there are {_list(metrics.KNOWN)}, event:NAME"
        )
    if metric == metrics.AGREEMENT and not experiment.is_copied:
        raise BadExperiment("primary_metric: nobody reports agreement without copies; set shadow_share")
    if metric == metrics.AGREEMENT and experiment.decision.rule != "not_worse":
        raise BadExperiment("decision.rule: of agreement it is not_worse: no candidate agrees more than wholly")
    if experiment.guardrails.disagreement is not None and not experiment.is_copied:
        raise BadExperiment("guardrails.disagreement: nobody reports it without copies; set shadow_share")
    if experiment.kind == "shadow" and not metrics.is_of_pairs(metric):
        raise BadExperiment(
            f"primary_metric: nobody but the control answers in a shadow; there are {_list(metrics.OF_PAIRS)}"
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
        ("guardrails.worst_slice", guardrails.worst_slice, 0, 1e9),
        ("canary.hold_seconds", canary.hold_seconds, 0, 10**7),
        ("canary.hold_requests", canary.hold_requests, 1, 10**9),
    ):
        if value is not None and not low <= value <= high:
            raise BadExperiment(f"{where}: {value:g} is not from {low:g} to {high:g}")
    steps = canary.steps
    if not steps or list(steps) != sorted(set(steps)) or steps[0] <= 0 or steps[-1] != 1:
        raise BadExperiment(f"canary.steps: {_list(f'{s:g}' for s in steps)}; they must rise, from more than 0 to 1")


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(each) for name, each in value.items() if each is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _list(names: Any) -> str:
    return ", ".join(names)
