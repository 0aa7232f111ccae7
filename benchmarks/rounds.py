"""The rounds of a measurement: a server started, everything measured in the same order, the server stopped."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from benchmarks import goals, machine, paths, report, server
from benchmarks.errors import LoadFailed
from benchmarks.paths import Measurement, Plan
from benchmarks.perf_analyzer import PerfAnalyzer
from benchmarks.processes import Meter, memory_mb
from benchmarks.report import Serving
from benchmarks.rows import Row
from benchmarks.server import Server
from benchmarks.stages import StageClock
from benchmarks.starts import Start

Find = Callable[[], AbstractContextManager[Server]]
_WARM_UP = 2.0  # seconds of load before the first line of a path
_SETTLE = 1.0  # seconds after which a ready server is at rest


def measured(plan: Plan, count: int, find: Find, tool: PerfAnalyzer | None) -> Iterator[Serving]:
    """The result so far, after each line of each of `count` rounds; `find` gives a round its server."""
    began = time.monotonic()
    for result in _rounds(plan, count, find, tool):
        yield replace(result, about={**result.about, "elapsed_seconds": round(time.monotonic() - began, 1)})


def _rounds(plan: Plan, count: int, find: Find, tool: PerfAnalyzer | None) -> Iterator[Serving]:
    result = Serving(_about(plan, count), [], (), _measured_elsewhere())
    for number in range(1, count + 1):
        with find() as under_test:
            if number == 1 and under_test.triton:
                result = replace(result, about={**result.about, "server": server.describe(under_test.triton)})
            at_rest = _at_rest(under_test)
            for row in _round(plan, under_test, tool):
                result = replace(result, rows=[*result.rows, replace(row, round=number)])
                yield result
            result = replace(result, starts=[*result.starts, *_start(under_test, at_rest)])
        yield result


def _round(plan: Plan, under_test: Server, tool: PerfAnalyzer | None) -> Iterator[Row]:
    """The bare loop stands between any two paths, seconds from each: the machine is not the same for long."""
    precision = _precision(under_test)
    yield from _bare(plan, precision, "one-by-one", "preprocessing", "network", "whole")
    saturation: dict[str, float] = {}
    for path, measurements in itertools.groupby(paths.measurements(plan, under_test, tool), lambda each: each.path):
        closed = list(measurements)
        max(closed, key=lambda each: each.concurrency).load(_WARM_UP)
        for wanted in closed:
            row = _row(wanted, plan.seconds, under_test)
            saturation[path] = max(saturation.get(path, 0.0), row.load.images_per_second)
            yield row
        yield from _bare(plan, precision, "whole")
    open_loops = list(paths.open_loops(plan, under_test, saturation))
    for wanted in open_loops:
        yield _row(wanted, plan.seconds, under_test)
    if open_loops:
        yield from _bare(plan, precision, "whole")


def _bare(plan: Plan, precision: str, *parts: str) -> Iterator[Row]:
    for part in parts if "bare" in plan.only else ():
        say(f"no server around it: {part} ...")
        yield paths.bare(plan, precision, part)


def _row(wanted: Measurement, seconds: float, under_test: Server) -> Row:
    say(f"{wanted.words}, {seconds:g} s ...")
    meter = Meter(under_test.pid) if under_test.pid else None
    with StageClock(under_test.triton, under_test.pid) as clock, meter or contextlib.nullcontext():
        load = wanted.load(seconds)
    if not load.images_per_second:
        raise LoadFailed(
            f"{wanted.words}: no image was answered ({dict(load.errors)})",
            "read the server's log; run it longer with --seconds if it is only slow",
        )
    return Row(wanted.path, load, meter.cost if meter else None, share=wanted.share, stages=clock.stages)


def _at_rest(under_test: Server) -> float | None:
    """MB, once it has settled; None where it was not started for this run and so may have worked before."""
    if under_test.pid is None or under_test.start_seconds is None:
        return None
    time.sleep(_SETTLE)
    return memory_mb(under_test.pid)


def _start(under_test: Server, at_rest: float | None) -> Iterator[Start]:
    if at_rest is not None and under_test.pid is not None and under_test.start_seconds is not None:
        time.sleep(_SETTLE)
        yield Start(under_test.start_seconds, at_rest, memory_mb(under_test.pid))


def _about(plan: Plan, rounds: int) -> dict[str, Any]:
    return {
        "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "server": None,
        "photographs": plan.photographs.describe(),
        "seconds": plan.seconds,
        "rounds": rounds,
    }


def _measured_elsewhere() -> dict[str, list[goals.Goal]]:
    """The goals that compare with other servers, from the latest `make bench-peers` on such a machine."""
    others = {}
    for kind, of, command in (
        ("peers", goals.of_peers, "make bench-peers"),
        ("peers-12mp", goals.of_large_photographs, 'make bench-peers BENCH="--large"'),
    ):
        name, comparison = report.newest(kind, machine.word()) or (command, None)
        others[name] = of(comparison)
    return others


def _precision(under_test: Server) -> str:
    """What the served model computes in, so that the bare loop does too; what this CPU prefers where nobody says."""
    return server.precision(under_test.rest) if under_test.rest else "auto"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
