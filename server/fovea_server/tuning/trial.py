"""What one setting did: each rate that it was asked at, and its score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fovea_server.triton.tuned import Setting

Goal = Literal["throughput", "cpu"]
GOALS: tuple[Goal, ...] = ("throughput", "cpu")
Role = Literal["baseline", "candidate", "again"]
_KEPT = 0.95  # of the images that were due, the least share that must have been answered within the time


@dataclass(frozen=True)
class Step:
    """Open-loop load at `rate` images/s. `images_per_second` are answers within the time; latencies in milliseconds
    from the moment an image was due; `cpu_ms` is what all server processes took for an image."""

    rate: float
    images_per_second: float
    p50_ms: float | None
    p99_ms: float | None
    cpu_ms: float
    errors: int

    def keeps(self, bound: float) -> bool:
        """Whether nothing failed, nothing piled up, and the 99th percentile is within `bound` milliseconds."""
        in_time = self.images_per_second >= _KEPT * self.rate
        return not self.errors and in_time and self.p99_ms is not None and self.p99_ms <= bound


@dataclass(frozen=True)
class Trial:
    """`score` is the larger the better: images/s under the bound, or images for each second of CPU time; 0 where no
    rate kept the bound. `failure` is why the setting could not be served."""

    role: Role
    setting: Setting
    score: float
    steps: tuple[Step, ...]
    failure: str | None = None

    @property
    def best_p99(self) -> tuple[float, float] | None:
        """The smallest 99th percentile in milliseconds that was seen, and at what rate."""
        seen = [(step.p99_ms, step.rate) for step in self.steps if step.p99_ms is not None and not step.errors]
        return min(seen, default=None)

    def to_mapping(self) -> dict[str, Any]:
        table = asdict(self)
        return {name: value for name, value in table.items() if value is not None}

    @classmethod
    def from_mapping(cls, table: Mapping[str, Any]) -> Trial:
        return cls(
            role=table["role"],
            setting=Setting(**table["setting"]),
            score=float(table["score"]),
            steps=tuple(Step(**step) for step in table["steps"]),
            failure=table.get("failure"),
        )
