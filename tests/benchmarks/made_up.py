"""Rows of a measurement that nobody made."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.processes import Cost
from benchmarks.rows import Row
from benchmarks.stages import Stage

from fovea_client.load.measured import summary

ABOUT = {"photographs": {"source": "here", "count": 1, "mean_kilobytes": 106}, "seconds": 1.0}


def row(
    path: str,
    images: int,
    cpu_seconds: float | None = 1.0,
    *,
    concurrency: int = 8,
    latency: float = 0.01,
    number: int = 1,
    share: float | None = None,
    errors: Mapping[str, int] | None = None,
    stages: Mapping[str, Stage] | None = None,
) -> Row:
    """A second's work."""
    cost = None if cpu_seconds is None else Cost(cpu_seconds, 300.0, 3, 0.0)
    rate = None if share is None else float(images)
    load = summary("a generator", concurrency, 1.0, [latency] * images, images, errors or {}, 0.0, rate=rate)
    return Row(path, load, cost, number, share, stages or {})


def stage(images: int = 100, batch: float = 8.0, infer_ms: float = 2.0, cpu_ms: float | None = 2.0) -> Stage:
    """A model that waits for nobody."""
    return Stage(images, batch, 0.0, 0.05, infer_ms, 0.05, cpu_ms)
