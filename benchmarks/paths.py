"""The paths through the server that are measured, each with the generator that loads it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import perf_analyzer
from benchmarks.errors import LoadFailed
from benchmarks.perf_analyzer import PerfAnalyzer
from benchmarks.photographs import CHECKOUT, Photographs
from benchmarks.rows import GRPC, REST, TRITON, Row
from benchmarks.server import Server
from fovea_client.load.measured import Load

PATHS = ("bare", "triton", "rest", "grpc")
_GRACE = 90.0  # seconds a generator may take beyond its load


@dataclass(frozen=True)
class Plan:
    """`shares` are those of the most images/s of a path's closed loops at which its open loops run."""

    only: tuple[str, ...]
    concurrencies: tuple[int, ...]
    seconds: float
    photographs: Photographs
    shares: tuple[float, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """One line to come: `load(seconds)` makes it."""

    path: str
    concurrency: int
    load: Callable[[float], Load]
    share: float | None = None

    @property
    def words(self) -> str:
        how = f"{self.concurrency} at once" if self.share is None else f"open loop at {self.share:.0%}"
        return f"{self.path}, {how}"


def measurements(plan: Plan, under_test: Server, tool: PerfAnalyzer | None) -> Iterator[Measurement]:
    """The closed loops that were asked for and whose address is known."""
    if "triton" in plan.only and under_test.triton:
        for concurrency in plan.concurrencies:
            yield Measurement(TRITON, concurrency, _triton(plan, under_test.triton, tool, concurrency))
    for path, url in _gateway(plan, under_test):
        for concurrency in plan.concurrencies:
            yield Measurement(path, concurrency, _asked(plan, url, "--connections", str(concurrency)))


def open_loops(plan: Plan, under_test: Server, saturation: Mapping[str, float]) -> Iterator[Measurement]:
    """The gateway's at the plan's shares of its `saturation`, images/s by path."""
    for path, url in _gateway(plan, under_test):
        for share in plan.shares:
            rate = f"{share * saturation[path]:.2f}"
            yield Measurement(path, 0, _asked(plan, url, "--rate", rate), share)


def bare(plan: Plan, precision: str, part: str) -> Row:
    """A part of the work with no server around it, as benchmarks.bare_loop measures it."""
    words = ("--part", part, "--precision", precision, "--images", str(plan.photographs.path))
    command = [sys.executable, "-m", "benchmarks.bare_loop", "--seconds", str(plan.seconds), *words]
    return Row.from_json(_last_line("bare_loop", command, plan.seconds))


def _gateway(plan: Plan, under_test: Server) -> Iterator[tuple[str, str]]:
    if "rest" in plan.only and under_test.rest:
        yield REST, under_test.rest
    if "grpc" in plan.only and under_test.grpc:
        yield GRPC, f"grpc://{under_test.grpc}"


def _triton(plan: Plan, triton: str, tool: PerfAnalyzer | None, concurrency: int) -> Callable[[float], Load]:
    def load(seconds: float) -> Load:
        assert tool is not None
        return perf_analyzer.measure(tool, triton, plan.photographs.images, concurrency, seconds)

    return load


def _asked(plan: Plan, url: str, *how: str) -> Callable[[float], Load]:
    """By `fovea bench`, as anybody can measure a server."""

    def load(seconds: float) -> Load:
        fovea = str(Path(sys.executable).with_name("fovea"))
        words = ("--seconds", str(seconds), "--warm-up", "0", "--images", str(plan.photographs.path), "--json")
        said = json.loads(_last_line("fovea bench", [fovea, "bench", "--url", url, *how, *words], seconds))
        load = said["lines"][0]
        return Load(**{name: value for name, value in load.items() if name not in ("protocol", "url")})

    return load


def _last_line(script: str, command: list[str], seconds: float) -> str:
    """The last line that another program prints, run in a process of its own.

    Of its own, so that its CPU time is told from ours and nothing here delays it.
    """
    try:
        done = subprocess.run(
            command, cwd=CHECKOUT, capture_output=True, text=True, timeout=seconds + _GRACE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(f"{script} did not end in time", "is the server still answering?") from error
    except OSError as error:
        raise LoadFailed(f"{script} cannot be run: {error.strerror}", "pip install -e '.[cpu]'") from error
    if done.returncode != 0:
        said = {line.partition(": ")[0]: line.partition(": ")[2] for line in done.stderr.splitlines()}
        raise LoadFailed(
            said.get("error", f"{script} failed: {done.stderr.strip()[-300:]}"),
            said.get("hint", f"try it alone: {' '.join(command[1:3])} --help"),
        )
    return done.stdout.strip().splitlines()[-1]
