"""Ten times the load that the server can hold, for a minute, and back: `python -m tests.drills.spike`."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import numpy as np
from tests.drills.harness import open_loop
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import Drill
from tests.drills.harness.figures import Figure, at_least, at_most, none_of
from tests.drills.harness.records import Records
from tests.drills.harness.running import main

_DEADLINE_MS = 10_000  # what the server gives a request that names none


def run(bench: Bench) -> list[Figure]:
    c, seconds = bench.c, bench.scale.pick(full=60.0, short=5.0)
    phases = [(0.7 * c, seconds), (10 * c, seconds), (0.7 * c, seconds)]
    with bench.watch() as watch, open_loop.load(bench.server.rest_port, bench.requests(), phases) as load:
        records = load.wait()
        before, spike, after = (load.window(phase) for phase in range(3))
    baseline = records.due_between(*before)
    during = records.due_between(*spike)
    admitted = during.good
    bench.note(
        baseline_p99_ms=baseline.percentile_ms(99),
        afterwards_p99_ms=records.due_between(*after).percentile_ms(99),
        outcomes_in_the_spike=during.outcomes(),
        generator_cpu_percent_of_one_core=100 * records.cpu_seconds / (3 * seconds),
        generator_late_p99_ms=during.lateness_ms(99),
        memory_mb_at_first=watch.seen[0].memory_mb,
    )
    p99 = admitted.percentile_ms(99)
    return [
        at_least("goodput in the spike, in parts of c", 0.9, _goodput(records, spike) / c, timed=True),
        at_most("p99 of the admitted", 2 * _finite(baseline.percentile_ms(99)), p99, "ms", timed=True),
        at_most("p99 of the admitted, inside the deadline", _DEADLINE_MS, p99, "ms", timed=True),
        none_of("answers in the spike without a type", during.untyped()),
        at_most("p99 of the refused", 50, during.refused.percentile_ms(99) if during.refused else 0, "ms", timed=True),
        at_most("memory above that before", 100, watch.peak_growth_mb, "MB"),
        at_most("until p99 is back", 5, _recovery(records, before, after), "s", timed=True),
    ]


def _goodput(records: Records, window: tuple[float, float]) -> float:
    return len(records.good.done_between(*window)) / (window[1] - window[0])


def _recovery(records: Records, before: tuple[float, float], after: tuple[float, float]) -> float:
    """Seconds until a twelfth of the time (5 s of a minute) has a p99 that such a part of the baseline had too."""
    usual = max(_finite(p99) for _, p99 in _parts(records, before))
    return next((second for second, p99 in _parts(records, after) if p99 <= usual), float("inf"))


def _finite(p99: float) -> float:
    """A baseline that loses requests is nothing to compare with: nobody keeps to 0."""
    return p99 if math.isfinite(p99) else 0.0


def _parts(records: Records, window: tuple[float, float]) -> Iterator[tuple[float, float]]:
    """When each part begins, overlapping the last, in seconds from the window's begin; its p99."""
    begin, end = window
    part = (end - begin) / 12
    for second in np.arange(0, end - begin - part, part / 10):
        yield float(second), records.due_between(begin + second, begin + second + part).percentile_ms(99)


DRILL = Drill(
    name="spike",
    promise="0.7c, then 10c, then 0.7c, a minute each: goodput stays, what is refused is refused at once, and all is "
    "as before within 5 s.",
    run=run,
    seconds=480,
)

if __name__ == "__main__":
    sys.exit(main([DRILL]))
