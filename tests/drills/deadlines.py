"""Twice what the server can hold, with little time for each: `python -m tests.drills.deadlines`."""

from __future__ import annotations

import sys

import numpy as np
from tests.drills.harness import open_loop
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import Drill
from tests.drills.harness.figures import Figure, at_most, none_of
from tests.drills.harness.records import Records
from tests.drills.harness.running import main

_DEADLINES_MS = (20, 35, 50, 80, 120, 200, 350, 500)
_ALLOWED_LATE_MS = 50


def run(bench: Bench) -> list[Figure]:
    c, seconds = bench.c, bench.scale.pick(full=60.0, short=6.0)
    requests = [
        open_loop.post(image, headers={"X-Request-Timeout": f"{deadline / 1000:g}"})
        for image, deadline in zip(bench.images, _DEADLINES_MS * len(bench.images), strict=False)
    ]
    records = open_loop.run(bench.server.rest_port, requests, 2 * c, seconds)
    late = _late_ms(records)
    bench.note(
        outcomes=records.outcomes(),
        late_ms={f"{percent}%": float(np.percentile(late, percent)) for percent in (50, 90, 99, 100)},
        goodput_in_parts_of_c=len(records.good) / seconds / c,
        good_by_deadline=_good_by_deadline(records),
        generator_late_ms={f"{percent}%": records.lateness_ms(percent) for percent in (50, 99, 100)},
        generator_cpu_percent_of_one_core=100 * records.cpu_seconds / seconds,
    )
    return [
        none_of("requests without an answer", records.unanswered.outcomes()),
        none_of("answers without a type", records.untyped()),
        at_most("latest answer, after its deadline", _ALLOWED_LATE_MS, float(late.max()), "ms", timed=True),
    ]


def _late_ms(records: Records) -> np.ndarray:
    """How long after its deadline each answer came, from when it was sent: the server's clock begins no earlier."""
    deadlines = np.array(_DEADLINES_MS)[records.rows["ask"] % len(_DEADLINES_MS)]
    took = 1000 * (records.rows["done"] - records.rows["sent"])
    return np.nan_to_num(took, nan=np.inf) - deadlines


def _good_by_deadline(records: Records) -> dict[str, str]:
    """What part of the requests with each deadline was answered well."""
    which = records.rows["ask"] % len(_DEADLINES_MS)
    of_each = {deadline: records.where(which == place) for place, deadline in enumerate(_DEADLINES_MS)}
    return {f"{deadline} ms": f"{len(some.good) / max(len(some), 1):.0%}" for deadline, some in of_each.items()}


DRILL = Drill(
    name="deadlines",
    promise="Deadlines of 20 to 500 ms at 2c: no answer comes later than its deadline and 50 ms.",
    run=run,
    seconds=360,
)

if __name__ == "__main__":
    sys.exit(main([DRILL]))
