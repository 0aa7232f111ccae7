"""All rounds of a measurement in one line: medians, how far the rounds lie apart, and fractions of what limits it.

A ratio is taken where the machine is the same, and the median of the rounds' ratios is shown: a line is compared with
the bare loops that were measured before and after it in its round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

from benchmarks.rows import BARE, GRPC, NETWORK, PREPROCESSING, REST, TRITON, Row
from benchmarks.stages import Stage, combined

NOISY = 5.0  # percent of the cores taken by somebody else, from which on a line is marked


@dataclass(frozen=True)
class Line:
    """One load over all rounds.

    images_per_second, p50_ms, p95_ms, p99_ms, cpu_ms   medians of the rounds
    spread          the most images/s of a round less the fewest, as a fraction of the median
    cores           that were busy with it on average, the load generator's not among them
    peak_memory_mb  of any round
    speed_to_bare, cpu_to_bare      multiples of the bare loop's images/s and CPU-ms an image
    limit, of_limit, cpu_of_limit   what it cannot be faster than, and multiples of that one's images/s and CPU-ms
    """

    path: str
    concurrency: int
    share: float | None
    rate: float | None
    rounds: int
    images_per_second: float
    spread: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    errors: Mapping[str, int]
    cpu_ms: float | None
    cores: float | None
    peak_memory_mb: float | None
    noisy: bool
    speed_to_bare: float | None
    cpu_to_bare: float | None
    limit: str | None
    of_limit: float | None
    cpu_of_limit: float | None
    stages: Mapping[str, Stage]

    @property
    def load(self) -> str:
        """In words."""
        if self.share is None:
            return f"{self.concurrency} at once"
        return f"{self.share:.0%}: {self.rate:.0f}/s"


def lines(rows: Sequence[Row]) -> list[Line]:
    """One for each path and load, in the order in which they were first measured."""
    together: dict[tuple[str, int | None, float | None], list[Row]] = {}
    for row in rows:
        load = None if row.share is not None else row.load.concurrency
        together.setdefault((row.path, load, row.share), []).append(row)
    return [_line(group, rows) for group in together.values()]


def _line(group: Sequence[Row], rows: Sequence[Row]) -> Line:
    first = group[0]
    loads = [row.load for row in group]
    rates = [load.images_per_second for load in loads]
    below = [_below(row, rows) for row in group]
    of_limit = _median(_ratio(row.load.images_per_second, speed) for row, (speed, _) in zip(group, below, strict=True))
    errors: Counter[str] = Counter()
    for load in loads:
        errors.update(load.errors)
    return Line(
        first.path,
        max(load.concurrency for load in loads),
        first.share,
        _median(load.rate for load in loads),
        len({row.round for row in group}),
        round(median(rates), 2),
        round((max(rates) - min(rates)) / median(rates), 3) if median(rates) else 0.0,
        _median(load.p50_ms for load in loads),
        _median(load.p95_ms for load in loads),
        _median(load.p99_ms for load in loads),
        dict(errors),
        _median(row.cpu_ms for row in group),
        _median(row.cores for row in group),
        max((row.cost.peak_memory_mb for row in group if row.cost), default=None),
        any(row.cost and row.cost.others_percent >= NOISY for row in group),
        _median(_ratio(row.load.images_per_second, _speed(_bare_around(row, rows))) for row in group),
        _median(_ratio(row.cpu_ms, _cost(_bare_around(row, rows))) for row in group),
        _limit(first.path, first.share) if of_limit else None,
        of_limit,
        _median(_ratio(row.cpu_ms, cost) for row, (_, cost) in zip(group, below, strict=True)),
        combined([row.stages for row in group]),
    )


def _bare_around(row: Row, rows: Sequence[Row]) -> list[Row]:
    """The last bare loop of its round until then, and the first from then on; of a bare loop, all of the round."""
    place = next(place for place, other in enumerate(rows) if other is row)
    before = [bare for bare in rows[:place] if bare.path == BARE and bare.round == row.round]
    after = [bare for bare in rows[place:] if bare.path == BARE and bare.round == row.round]
    return before + after if row.path == BARE else before[-1:] + after[:1]


def _speed(rows: Iterable[Row]) -> float | None:
    return _mean(row.load.images_per_second for row in rows)


def _cost(rows: Iterable[Row]) -> float | None:
    return _mean(row.cpu_ms for row in rows)


def _limit(path: str, share: float | None) -> str | None:
    """What lies below the path; an open loop is only as fast as it is asked."""
    if share is not None:
        return None
    return {BARE: "its stages in turn", TRITON: BARE, REST: TRITON, GRPC: TRITON}.get(path)


def _below(row: Row, rows: Sequence[Row]) -> tuple[float | None, float | None]:
    """Images/s and CPU-ms an image of what lies below the path, in the same round."""
    same = [other for other in rows if other.round == row.round]
    limit = _limit(row.path, row.share)
    if limit is None:
        return None, None
    if limit == TRITON:
        load = row.load.concurrency
        triton = [other for other in same if other.path == TRITON and other.load.concurrency == load]
        return _speed(triton), _cost(triton)
    if limit == BARE:
        bare = _bare_around(row, same)
        return _speed(bare), _cost(bare)
    return _in_turn(same)


def _in_turn(rows: Sequence[Row]) -> tuple[float | None, float | None]:
    """Images/s and CPU-ms an image of both stages one after the other, were there nothing between them."""
    alone = [[row for row in rows if row.path == path] for path in (PREPROCESSING, NETWORK)]
    times = [1 / speed for stage in alone if (speed := _speed(stage))]
    costs = [cost for stage in alone if (cost := _cost(stage))]
    return 1 / sum(times) if len(times) == len(alone) else None, sum(costs) if len(costs) == len(alone) else None


def _ratio(value: float | None, below: float | None) -> float | None:
    return value / below if value is not None and below else None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 3) if known else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None
