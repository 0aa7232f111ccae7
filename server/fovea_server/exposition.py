"""The series of several processes as those of one: counters and histograms summed, each gauge as it is meant."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Metric, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Worst = Callable[[float, float], float]  # of what two processes say of the same gauge
_Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Family:
    """A series with all its samples, by sample name and labels."""

    name: str
    kind: str
    documentation: str
    samples: Mapping[tuple[str, _Labels], float]

    def to_json(self) -> list[Any]:
        samples = [[name, dict(labels), value] for (name, labels), value in self.samples.items()]
        return [self.name, self.kind, self.documentation, samples]

    @classmethod
    def from_json(cls, said: Sequence[Any]) -> Family:
        name, kind, documentation, samples = said
        return cls(name, kind, documentation, {(each, tuple(labels.items())): value for each, labels, value in samples})


def collected(registry: CollectorRegistry) -> list[Family]:
    """What one process counted until now."""
    return [
        Family(
            metric.name,
            metric.type,
            metric.documentation,
            {(sample.name, tuple(sample.labels.items())): sample.value for sample in metric.samples},
        )
        for metric in registry.collect()
    ]


def counted(families: Iterable[Family]) -> list[Family]:
    """Those that outlive the process which counted: not the gauges, which say what is now."""
    return [family for family in families if family.kind != "gauge"]


def merged(processes: Iterable[Iterable[Family]], worst: Mapping[str, Worst]) -> list[Family]:
    """One family of each name. Of the gauges named in `worst` it is the worst, which is said there; all others are
    summed."""
    families: dict[str, Family] = {}
    for family in (family for process in processes for family in process):
        before = families.get(family.name)
        families[family.name] = _both(before, family, worst.get(family.name, operator.add)) if before else family
    return list(families.values())


def text(families: Iterable[Family]) -> bytes:
    """In Prometheus' text format."""
    return generate_latest(_Fixed(families))


def _both(one: Family, other: Family, together: Worst) -> Family:
    samples = dict(one.samples)
    for key, value in other.samples.items():
        samples[key] = together(samples[key], value) if key in samples else value
    return Family(one.name, one.kind, one.documentation, samples)


class _Fixed:
    """What prometheus_client takes for a registry."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            metric = Metric(family.name, family.documentation, family.kind)
            for (name, labels), value in family.samples.items():
                metric.add_sample(name, dict(labels), value)
            yield metric
