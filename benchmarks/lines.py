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
    peak_memory_mb  of any round
    speed_to_bare, cpu_to_bare   multiples of the bare loop's images/s and CPU-ms an image
    limit, of_limit              what it cannot be faster than, and its images/s as a fraction of that one's
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
    peak_memory_mb: float | None
    noisy: bool
    speed_to_bare: float | None
    cpu_to_bare: float | None
    limit: str | None
    of_limit: float | None
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
    limit, fractions = _limit(first.path, first.share), [_of_limit(row, rows) for row in group]
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
        max((row.cost.peak_memory_mb for row in group if row.cost), default=None),
        any(row.cost and row.cost.others_percent >= NOISY for row in group),
        _median(_ratio(row.load.images_per_second, _speed(_bare_around(row, rows))) for row in group),
        _median(_ratio(row.cpu_ms, _mean(bare.cpu_ms for bare in _bare_around(row, rows))) for row in group),
        limit if any(fractions) else None,
        _median(fractions),
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


def _limit(path: str, share: float | None) -> str | None:
    """What lies below the path; an open loop is only as fast as it is asked."""
    if share is not None:
        return None
    return {BARE: "its stages in turn", TRITON: BARE, REST: TRITON, GRPC: TRITON}.get(path)


def _of_limit(row: Row, rows: Sequence[Row]) -> float | None:
    same = [other for other in rows if other.round == row.round]
    limit = _limit(row.path, row.share)
    if limit is None:
        return None
    if limit == TRITON:
        below = _speed(
            other for other in same if other.path == TRITON and other.load.concurrency == row.load.concurrency
        )
    else:
        below = _speed(_bare_around(row, same)) if limit == BARE else _in_turn(same)
    return _ratio(row.load.images_per_second, below)


def _in_turn(rows: Sequence[Row]) -> float | None:
    """Images/s of both stages one after the other, were there nothing between them."""
    alone = [_mean(row.load.images_per_second for row in rows if row.path == path) for path in (PREPROCESSING, NETWORK)]
    times = [1 / speed for speed in alone if speed]
    return 1 / sum(times) if len(times) == len(alone) else None


def _ratio(value: float | None, below: float | None) -> float | None:
    return value / below if value is not None and below else None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 3) if known else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None
