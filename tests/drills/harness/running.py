"""Run drills one after the other, each bounded in time, and say how they went."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from benchmarks import machine
from tests.drills.harness import page, results
from tests.drills.harness.bench import Bench
from tests.drills.harness.capacity import Capacity
from tests.drills.harness.drill import SCALES, Drill, Scale
from tests.drills.harness.figures import Figure
from tests.drills.harness.results import Result


class TookTooLong(Exception):
    """The drill did not end within its time."""


def main(drills: Sequence[Drill], arguments: Sequence[str] | None = None) -> int:
    """Run them; 0 where every figure was reached, or what was tried stands in tried.toml."""
    parser = argparse.ArgumentParser(description="Hurt a server, and compare what happens with what was promised.")
    parser.add_argument("--only", help="names of drills, with commas between")
    parser.add_argument("--scale", choices=SCALES, default="full", help="how much of each drill (default: full)")
    parser.add_argument("--page", action="store_true", help="only write docs/drills.md from the results that there are")
    chosen = parser.parse_args(arguments)
    if chosen.page:
        page.write()
        return 0
    wanted = [drill for drill in drills if not chosen.only or drill.name in chosen.only.split(",")]
    if not wanted:
        parser.error(f"no such drill; there are: {', '.join(drill.name for drill in drills)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a server is stopped in order
    outcomes = [_run_and_keep(drill, SCALES[chosen.scale], f"{at}/{len(wanted)}") for at, drill in enumerate(wanted, 1)]
    page.write()
    _print_table(outcomes)
    return 1 if any(results.unexcused(result) for result in outcomes) else 0


def run(drill: Drill, scale: Scale, bench: Bench | None = None, capacity: Capacity | None = None) -> Result:
    """One drill, on a bench of its own unless one is lent. Whatever stops it is a missed figure of its own.

    Where the capacity was measured already, on another server, the bench of its own takes that.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        bench = bench or stack.enter_context(Bench(scale, drill.options, capacity))
        try:
            with _within(drill.seconds):
                figures = drill.run(bench)
        except Exception as error:
            traceback.print_exc()
            figures = [Figure("the drill ran to its end", "yes", f"{type(error).__name__}: {error}"[:300], False)]
        return Result(
            drill=drill.name,
            promise=drill.promise,
            scale=scale.name,
            when=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M"),
            seconds=round(time.monotonic() - began, 1),
            machine=machine.describe(),
            figures=figures,
            capacity=asdict(bench.capacity) if "capacity" in vars(bench) else None,
            notes=bench.notes,
        )


def _run_and_keep(drill: Drill, scale: Scale, which: str) -> Result:
    """Results of short forms are not kept: they are not what was promised."""
    print(f"[{which}] {drill.name}: {drill.promise}", file=sys.stderr, flush=True)
    result = run(drill, scale)
    for figure in result.figures:
        print(f"  {_mark(figure)} {figure.name}: {figure.measured} ({figure.wanted})", file=sys.stderr, flush=True)
    if scale.name != "short":
        result.write()
    return result


def _print_table(outcomes: Sequence[Result]) -> None:
    width = max(len(figure.name) for result in outcomes for figure in result.figures)
    for result in outcomes:
        print(f"\n{result.drill} ({result.seconds:.0f} s)")
        for figure in result.figures:
            print(f"  {_mark(figure)} {figure.name:<{width}}  {figure.measured}  (wanted: {figure.wanted})")
        for figure in results.unexcused(result):
            print(f"  not explained in tests/drills/tried.toml: {figure.name}")


def _mark(figure: Figure) -> str:
    return "ok    " if figure.passed else "MISSED"


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    def too_long(number: int, frame: object) -> None:
        raise TookTooLong(f"not done within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, too_long)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)  # of somebody else's, such as a test's own limit
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left)
