"""An experiment as it is declared: read from TOML or JSON, checked field by field, frozen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fovea_server.errors import BadExperiment
from fovea_server.request.routing import UnitKind
from fovea_server.studies import checks, fields, metrics

STEPS = (0.01, 0.05, 0.25, 0.5, 1.0)


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
    worst_slice   how much higher the candidate's share of errors may be in any one slice, 0 to 1
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
            f"arm: {self.name} has none called {name[:80]!r}; it has {fields.listed(a.name for a in self.arms)}"
        )

    def to_mapping(self) -> dict[str, Any]:
        """As it would be written in TOML; `read` gives the same experiment back."""
        mapping: dict[str, Any] = _without_none(dataclasses.asdict(self))
        return mapping

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> Experiment:
        """From parsed TOML or JSON. Raises BadExperiment with one sentence that names the field."""
        values = fields.values(cls, table, "", parts=("arms", *_PARTS))
        values["arms"] = tuple(
            fields.read(DeclaredArm, arm, f"arms[{place}]") for place, arm in enumerate(_arms(table))
        )
        for name, part in _PARTS.items():
            values[name] = fields.read(part, table.get(name, {}), name)
        for name in ("name", "model"):
            if name not in values:
                raise BadExperiment(f"{name}: it is missing; every experiment has one")
        experiment = cls(**values)
        experiment = dataclasses.replace(experiment, salt=experiment.salt or experiment.name)
        checks.check(experiment)
        return experiment


_PARTS = {"decision": Decision, "guardrails": Guardrails, "canary": CanarySteps}


def _arms(table: Mapping[str, Any]) -> Sequence[Any]:
    arms: Any = table.get("arms", ())
    if not isinstance(arms, (list, tuple)) or len(arms) < 2:
        raise BadExperiment("arms: there must be two or more, the control first")
    return arms


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(each) for name, each in value.items() if each is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value
