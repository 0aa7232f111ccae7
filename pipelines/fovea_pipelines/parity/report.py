"""What a run of the gate found: rows of measures, the worst images, the refusals, and whether it passes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from fovea_pipelines.parity.comparison import Compared, Refused
from fovea_pipelines.parity.tally import Row


class Why(Enum):
    """Why an image is among the worst, as headings say it."""

    FURTHEST_OFF = "Furthest off"
    FLIPPED = "Another best class"


@dataclass(frozen=True)
class Worst:
    """An image among the worst, and what it looks like."""

    case: Compared
    why: Why
    looks_like: str | None


@dataclass(frozen=True)
class Report:
    """Of one model package on so many images.

    `rows` by executor and kind; `worst` by executor, of all kinds: furthest off first, then those with another best
    class that are not among them, what the model was surest of first.
    """

    model: str
    digest: str
    labels: tuple[str, ...]
    images: int
    rows: tuple[Row, ...]
    worst: tuple[Worst, ...]
    refusals: tuple[Refused, ...]

    @property
    def passed(self) -> bool:
        return not any(row.exceeded for row in self.rows)

    @property
    def executors(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.executor for row in self.rows))

    def failures(self) -> Iterator[str]:
        """A sentence for each row beyond its limits: the kind, each measure with its value and limit, the stage."""
        for row in self.rows:
            if row.exceeded:
                looks_like = f"; looks like: {row.looks_like}" if row.looks_like else ""
                yield f"{row.executor}, {row.kind}: {'; '.join(map(str, row.exceeded))}{looks_like}"

    def to_mapping(self) -> dict[str, Any]:
        """All but the pixels, for programs."""
        return {
            "model": self.model,
            "digest": self.digest,
            "passed": self.passed,
            "images": self.images,
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "worst": [_worst(each) for each in self.worst],
            "refusals": [_refusal(each) for each in self.refusals],
        }


def _worst(worst: Worst) -> dict[str, Any]:
    case = worst.case
    return {
        "executor": case.executor,
        "image": case.specimen.name,
        "why": worst.why.value.lower(),
        "kinds": case.specimen.kinds,
        **{f"pixel_{name}": value for name, value in dataclasses.asdict(case.pixels).items()},
        "embedding_drift": case.embedding_drift,
        **(dataclasses.asdict(case.scores) if case.scores else {}),
        "looks_like": worst.looks_like,
    }


def _refusal(refusal: Refused) -> dict[str, Any]:
    return {
        "executor": refusal.executor,
        "image": refusal.specimen.name,
        "by_reference": refusal.by_reference,
        "by_executor": refusal.by_executor,
    }
