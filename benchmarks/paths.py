"""The paths through the server that are measured, each with the generator that loads it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import perf_analyzer
from benchmarks.errors import LoadFailed
from fovea_client.load.measured import Load
from benchmarks.perf_analyzer import PerfAnalyzer
from benchmarks.photographs import CHECKOUT, Photographs
from benchmarks.report import Row
from benchmarks.server import Server

PATHS = ("bare", "triton", "rest", "grpc")
_GRACE = 90.0  # seconds a generator may take beyond its load


@dataclass(frozen=True)
class Plan:
    only: tuple[str, ...]
    concurrencies: tuple[int, ...]
    seconds: float
    folder: Path | None
    photographs: Photographs


@dataclass(frozen=True)
class Measurement:
    """One line to come: `load(concurrency, seconds)` makes it."""

    path: str
    concurrency: int
    load: Callable[[int, float], Load]


def measurements(plan: Plan, under_test: Server, tool: PerfAnalyzer | None) -> Iterator[Measurement]:
    """Those that were asked for and whose address is known."""

    def at_triton(concurrency: int, seconds: float) -> Load:
        assert tool is not None
        assert under_test.triton is not None
        return perf_analyzer.measure(tool, under_test.triton, plan.photographs.images, concurrency, seconds)

    def at_rest(concurrency: int, seconds: float) -> Load:
        words = ("--url", str(under_test.rest), "--concurrency", str(concurrency))
        return Load.from_json(_run("rest_load", plan, seconds, *words))

    def at_grpc(concurrency: int, seconds: float) -> Load:
        words = ("--address", str(under_test.grpc), "--concurrency", str(concurrency))
        return Load.from_json(_run("grpc_load", plan, seconds, *words))

    ways = (
        ("triton", "Triton, gRPC", under_test.triton, at_triton),
        ("rest", "gateway, REST", under_test.rest, at_rest),
        ("grpc", "gateway, gRPC", under_test.grpc, at_grpc),
    )
    for name, path, address, load in ways:
        if name in plan.only and address:
            yield from (Measurement(path, concurrency, load) for concurrency in plan.concurrencies)


def bare_loop(plan: Plan, precision: str) -> Row:
    return Row.from_json(_run("bare_loop", plan, plan.seconds, "--precision", precision))


def _run(script: str, plan: Plan, seconds: float, *words: str) -> str:
    """The last line that another script of this package prints, run in a process of its own.

    Of its own, so that its CPU time is told from ours and nothing here delays it.
    """
    command = [sys.executable, "-m", f"benchmarks.{script}", "--seconds", str(seconds), *words]
    if plan.folder:
        command += ["--images", str(plan.folder)]
    try:
        done = subprocess.run(
            command, cwd=CHECKOUT, capture_output=True, text=True, timeout=seconds + _GRACE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(f"{script} did not end in time", "is the server still answering?") from error
    if done.returncode != 0:
        said = {line.partition(": ")[0]: line.partition(": ")[2] for line in done.stderr.splitlines()}
        raise LoadFailed(
            said.get("error", f"{script} failed: {done.stderr.strip()[-300:]}"),
            said.get("hint", f"try it alone: python -m benchmarks.{script} --help"),
        )
    return done.stdout.strip().splitlines()[-1]
