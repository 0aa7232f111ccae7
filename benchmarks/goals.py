"""The figures we want to reach, each beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.lines import Line
from benchmarks.rows import GRPC, ONE_BY_ONE, REST, TRITON
from benchmarks.starts import Start

_OURS = "Fovea"  # how the lines of this server begin in a comparison with others


@dataclass(frozen=True)
class Goal:
    """`figure` is None where it was not measured; the goal is at most `goal` where `at_most`, else at least."""

    what: str
    figure: float | None
    goal: float
    at_most: bool = False

    @property
    def reached(self) -> bool | None:
        if self.figure is None:
            return None
        return self.figure <= self.goal if self.at_most else self.figure >= self.goal

    @property
    def verdict(self) -> str:
        return {None: "not measured", True: "reached", False: "not reached"}[self.reached]

    @property
    def bound(self) -> str:
        return f"at {'most' if self.at_most else 'least'} {self.goal:g}"

    def to_mapping(self) -> dict[str, Any]:
        return {"what": self.what, "figure": self.figure, "goal": self.bound, "verdict": self.verdict}


def of_serving(lines: Sequence[Line], starts: Sequence[Start]) -> list[Goal]:
    """Those that `make bench` measures."""
    triton, rest, grpc = (_fastest(lines, path) for path in (TRITON, REST, GRPC))
    return [
        Goal(
            "Triton's ensemble over gRPC, images/s against the bare loop",
            triton.speed_to_bare if triton else None,
            0.92,
        ),
        Goal("gateway over REST, images/s against the bare loop", rest.speed_to_bare if rest else None, 0.86),
        Goal("gateway over gRPC, images/s against the bare loop", grpc.speed_to_bare if grpc else None, 0.86),
        Goal(
            "CPU-ms an image, Triton over gRPC against the bare loop",
            triton.cpu_to_bare if triton else None,
            1.08,
            True,
        ),
        Goal("CPU-ms an image, REST against the bare loop", rest.cpu_to_bare if rest else None, 1.15, True),
        Goal("REST p99 at 70% of saturation against one image in the bare loop", _patience(lines), 4.0, True),
        Goal("seconds from `fovea serve` to ready", max((start.seconds for start in starts), default=None), 5.0, True),
        Goal("MB of all processes at rest", max((start.most_memory_mb for start in starts), default=None), 700.0, True),
    ]


def of_peers(comparison: Mapping[str, Any] | None) -> list[Goal]:
    """Those that `make bench-peers` measures, from its result."""
    peer, ours, default, peer_p99, our_p99 = _contest(comparison) if comparison else (None,) * 5
    return [
        Goal("images/s over REST against the best peer, same precision", _ratio(ours, peer), 1.05),
        Goal("images/s over REST against the same peer, our default precision", _ratio(default, peer), 1.6),
        Goal("REST p99 at 32 connections against that peer's", _ratio(our_p99, peer_p99), 0.6, True),
    ]


def of_large_photographs(comparison: Mapping[str, Any] | None) -> list[Goal]:
    """The one that `make bench-peers` measures with --large, from its result."""
    peer, ours, *_ = _contest(comparison) if comparison else (None, None)
    return [Goal("12 MP photographs, images/s against FastAPI + Pillow", _ratio(ours, peer), 3.0)]


def _fastest(lines: Sequence[Line], path: str) -> Line | None:
    closed = [line for line in lines if line.path == path and line.share is None]
    return max(closed, key=lambda line: line.images_per_second, default=None)


def _patience(lines: Sequence[Line]) -> float | None:
    """How many times as long as one image in the bare loop (p50) the slowest hundredth takes at least."""
    rest = next((line.p99_ms for line in lines if line.path == REST and line.share == 0.7), None)
    bare = next((line.p50_ms for line in lines if line.path == ONE_BY_ONE), None)
    return _ratio(rest, bare)


def _contest(comparison: Mapping[str, Any]) -> Iterator[float | None]:
    """Images/s of the fastest peer, ours in the same precision, ours in the default one; p99 at 32 of the first two."""
    lines = comparison["lines"]
    ours = f"{_OURS}, {comparison['precision']}"
    default = f"{_OURS}, {comparison['our_default_precision']}"
    peers = [line for line in lines if not line["server"].startswith(_OURS)]
    best = max(peers, key=lambda line: float(line["images_per_second"]), default=None)
    peer = best["server"] if best else ""
    for server in (peer, ours, default):
        yield max((line["images_per_second"] for line in lines if line["server"] == server), default=None)
    for server in (peer, ours):
        at_32 = (line["p99_ms"] for line in lines if line["server"] == server and line["concurrency"] == 32)
        yield next(at_32, None)


def _ratio(value: float | None, other: float | None) -> float | None:
    return round(value / other, 3) if value and other else None
