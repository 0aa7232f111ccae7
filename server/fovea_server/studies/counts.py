"""What is counted of those who met an arm, as numbers that can be added up over processes, stages and slices."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

_FINENESS = 1.05  # the ratio of two neighbouring edges of the latency's histogram: what a percentile is wrong by
_LOG = math.log(_FINENESS)


class Place(NamedTuple):
    """What is counted apart. `slice` is NAME=VALUE as the caller said it, "" for all together."""

    experiment: str
    stage: int
    arm: str
    slice: str = ""


@dataclass(frozen=True)
class Sample:
    """Of one arm's observations: how many, their mean, and the variance of one."""

    count: int
    mean: float
    variance: float

    @classmethod
    def of_share(cls, successes: float, count: int) -> Sample:
        """Of outcomes 0 and 1. The variance is that with half a success and half a failure more: it is not nothing
        where only one of them was seen yet."""
        assumed = (successes + 0.5) / (count + 1)
        return cls(count, successes / count if count else math.nan, assumed * (1 - assumed))


@dataclass
class Moments:
    """Of numbers: how many, their sum, and the sum of the squares of what each is off the mean; the squares of the
    numbers themselves would leave no digit of how they vary where they are large. Added as Chan, Golub and LeVeque do
    (1983, Algorithms for computing the sample variance, The American Statistician 37(3))."""

    count: int = 0
    total: float = 0.0
    off: float = 0.0

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Moments:
        """What was kept before has the sum of the numbers' squares instead."""
        if "squares" not in said:
            return cls(**said)
        count, total = said["count"], said["total"]
        return cls(count, total, max(said["squares"] - total * total / max(count, 1), 0.0))

    @property
    def is_finite(self) -> bool:
        """JSON knows no infinity, and nothing can be told from sums with one in them."""
        return math.isfinite(self.total) and math.isfinite(self.off)

    def add(self, value: float) -> None:
        before = self.total / self.count if self.count else value
        self.count += 1
        self.total += value
        self.off += (value - before) * (value - self.total / self.count)

    def __iadd__(self, other: Moments) -> Moments:
        if self.count and other.count:
            apart = other.total / other.count - self.total / self.count
            self.off += apart * apart * self.count * other.count / (self.count + other.count)
        self.off += other.off
        self.count += other.count
        self.total += other.total
        return self

    def sample(self) -> Sample:
        if not self.count:
            return Sample(0, math.nan, math.nan)
        return Sample(self.count, self.total / self.count, max(self.off, 0.0) / max(self.count - 1, 1))


@dataclass
class Counts:
    """Latencies in milliseconds, from receiving an image to its answer; `failed` are errors of the server's making."""

    units: int = 0  # that this process had not met before, until it has met 100,000
    answered: int = 0
    failed: int = 0
    abstained: int = 0
    compared: int = 0  # images that both arms have seen
    differed: int = 0  # of these, with another best label
    latency: Moments = field(default_factory=Moments)
    latencies: Counter[int] = field(default_factory=Counter)  # by bucket
    events: dict[str, Moments] = field(default_factory=dict)

    @property
    def exposed(self) -> int:
        return self.answered + self.failed

    def errors(self) -> Sample:
        return Sample.of_share(self.failed, self.exposed)

    def answer(self, milliseconds: float, abstained: bool) -> None:
        self.answered += 1
        self.abstained += abstained
        self.latency.add(milliseconds)
        self.latencies[_bucket(milliseconds)] += 1

    def event(self, name: str, value: float) -> None:
        self.events.setdefault(name, Moments()).add(value)

    def copy(self) -> Counts:
        events = {name: replace(moments) for name, moments in self.events.items()}
        return replace(self, latency=replace(self.latency), latencies=self.latencies.copy(), events=events)

    def __iadd__(self, other: Counts) -> Counts:
        for name in ("units", "answered", "failed", "abstained", "compared", "differed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latency += other.latency
        self.latencies += other.latencies
        for name, moments in other.events.items():
            self.events.setdefault(name, Moments()).__iadd__(moments)
        return self

    def latency_at(self, quantile: float) -> float:
        """Milliseconds that this share of the answers took at the most, 5% too high at the worst."""
        wanted, passed = quantile * self.answered, 0
        for bucket in sorted(self.latencies):
            passed += self.latencies[bucket]
            if passed >= wanted:
                return _edge(bucket)
        return math.nan

    def latency_edges(self) -> list[float]:
        """Milliseconds, rising: of each bucket that has answers the most that belong to it."""
        return [_edge(bucket) for bucket in sorted(self.latencies)]

    def slower_than(self, milliseconds: float) -> int:
        return sum(count for bucket, count in self.latencies.items() if _edge(bucket - 1) >= milliseconds)

    def to_json(self) -> dict[str, Any]:
        counted = vars(self) | {
            "latency": vars(self.latency),
            "latencies": {str(bucket): count for bucket, count in self.latencies.items()},
            "events": {name: vars(moments) for name, moments in self.events.items() if moments.is_finite},
        }
        return {name: value for name, value in counted.items() if value}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Counts:
        events = {name: Moments.from_json(moments) for name, moments in said.get("events", {}).items()}
        parts: dict[str, Any] = {
            "latency": Moments.from_json(said.get("latency", {})),
            "latencies": Counter({int(bucket): count for bucket, count in said.get("latencies", {}).items()}),
            "events": {name: moments for name, moments in events.items() if moments.is_finite},
        }
        return cls(**{**said, **parts})


Counted = Mapping[Place, Counts]


def of_arms(counted: Counted, stage: int | None = None, slice_: str = "") -> dict[str, Counts]:
    """Each arm's, over all stages or of one."""
    arms: dict[str, Counts] = {}
    for place, counts in counted.items():
        if place.slice == slice_ and stage in (None, place.stage):
            arms.setdefault(place.arm, Counts()).__iadd__(counts)
    return arms


def stages(counted: Counted) -> list[int]:
    return sorted({place.stage for place in counted})


def slices(counted: Counted) -> list[str]:
    return sorted({place.slice for place in counted if place.slice})


def _bucket(milliseconds: float) -> int:
    return math.ceil(math.log(max(milliseconds, 0.01)) / _LOG)


def _edge(bucket: int) -> float:
    """The most milliseconds that belong to the bucket."""
    return math.exp(bucket * _LOG)
