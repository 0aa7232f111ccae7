"""Half an hour of ordinary load with bad images among the good: `python -m tests.drills.soak`."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence

import numpy as np
from tests.drills.harness import odd_images, open_loop
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import Drill
from tests.drills.harness.figures import Figure, at_most, none_of
from tests.drills.harness.records import Records
from tests.drills.harness.running import main
from tests.drills.harness.watch import Holding

_BAD = 0.05


def run(bench: Bench) -> list[Figure]:
    seconds = bench.scale.pick(full=1800.0, long=600.0, short=15.0)
    requests, statuses = _mixed(bench)
    with bench.watch() as watch, open_loop.load(bench.server.rest_port, requests, [(0.7 * bench.c, seconds)]) as load:
        records = load.wait()
        begin, end = load.window(0)
    half = watch.between(begin + seconds / 2, end)
    growth = _growth(half, lambda holding: holding.memory_mb)
    gateway = _growth(half, lambda holding: holding.gateway_mb) / (len(records) / 2) * 100_000
    brief = bench.scale.name == "short"  # too few requests to tell growth from noise
    bench.note(
        requests=len(records),
        outcomes=records.outcomes(),
        p99_ms=records.percentile_ms(99),
        memory_mb={"after a tenth": _early(watch.seen), "at the end": half[-1].memory_mb},
        descriptors={
            "after a tenth": watch.seen[len(watch.seen) // 10].descriptors,
            "at the end": half[-1].descriptors,
        },
        generator_cpu_percent_of_one_core=100 * records.cpu_seconds / seconds,
    )
    return [
        at_most("growth of all processes in the second half", 100, growth, "MB"),
        at_most("growth of the gateway there, for 100,000 requests", 10, gateway, "MB", timed=brief),
        at_most("growth of descriptors there", 4, _growth(half, lambda holding: holding.descriptors), timed=brief),
        at_most(
            "growth of /dev/shm there", 0, _growth(half, lambda holding: holding.shared_memory_mb), "MB", timed=brief
        ),
        none_of("answers of the wrong kind", _wrong(records, statuses)),
    ]


def _mixed(bench: Bench) -> tuple[list[bytes], list[int]]:
    """Requests of which one in twenty is bad, and the status each must get; 0 where anything typed will do."""
    good = [(image, 200) for image in bench.images]
    bad = odd_images.bad(bench.images[0])
    every = round(1 / _BAD) - 1
    images: list[tuple[bytes, int]] = []
    for place in range(len(bad) * every):
        images.append(good[place % len(good)])
        if place % every == every - 1:
            images.append(bad[place // every])
    return [open_loop.post(image) for image, _ in images], [status for _, status in images]


def _wrong(records: Records, statuses: Sequence[int]) -> dict[str, int]:
    wanted = np.array(statuses)[records.rows["ask"]]
    got = records.rows["status"]
    other = records.where((got != wanted) & (wanted != 0) | (got == 0) | (got >= 500))
    return {**other.outcomes(), **records.untyped()}


def _growth(half: Sequence[Holding], of: Callable[[Holding], float]) -> float:
    """From the first to the last fifth of the looks, by their medians."""
    fifth = max(len(half) // 5, 1)
    return statistics.median(map(of, half[-fifth:])) - statistics.median(map(of, half[:fifth]))


def _early(seen: Sequence[Holding]) -> float:
    return seen[len(seen) // 10].memory_mb


DRILL = Drill(
    name="soak",
    promise="30 minutes at 0.7c with 5% bad images: memory grows by at most 100 MB in the second half, the gateway's "
    "by 10 MB for 100,000 requests; descriptors and /dev/shm stay as they are.",
    run=run,
    seconds=2400,
)

if __name__ == "__main__":
    sys.exit(main([DRILL]))
