"""Add up what was measured on the images of one kind."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from fovea_pipelines.parity.comparison import Compared, Outcome
from fovea_pipelines.parity.thresholds import Exceeded, Thresholds

KEPT = 12  # images with their pixels, of those furthest off and of those with another best class each
_MEANS = ("pixel_mean", "top_1", "top_5")
_LARGEST = ("pixel_p99", "pixel_max", "embedding_drift", "logit_drift")


@dataclass(frozen=True)
class Row:
    """One executor on the images of one kind.

    images            all of them; `compared` is how many both sides decoded
    executor_refused  the executor refused what the reference decodes; `reference_refused` the other way round
    pixel_mean        mean over the images; `pixel_p99`, `pixel_max`, `embedding_drift` and `logit_drift` are of the
                      worst image, so that one bad image among many good ones is seen
    top_1, top_5      agreement, mean over the images; like the logits, None for a network that only embeds
    looks_like        the stage that went wrong, where that is clear
    """

    executor: str
    kind: str
    images: int
    compared: int
    executor_refused: int
    reference_refused: int
    pixel_mean: float | None
    pixel_p99: float | None
    pixel_max: float | None
    embedding_drift: float | None
    logit_drift: float | None
    top_1: float | None
    top_5: float | None
    exceeded: tuple[Exceeded, ...]
    looks_like: str | None = None


@dataclass
class Foremost:
    """The few cases of the largest values."""

    _entries: list[tuple[float, int, Compared]] = field(default_factory=list)
    _offered: int = 0

    def offer(self, value: float, case: Compared) -> None:
        self._offered += 1
        # The count breaks ties: cases have no order of their own.
        entry = (value, -self._offered, case)
        (heapq.heappush if len(self._entries) < KEPT else heapq.heappushpop)(self._entries, entry)

    def in_order(self) -> list[Compared]:
        """The largest first."""
        return [case for _, _, case in sorted(self._entries, reverse=True)]


@dataclass
class Tally:
    """What one executor did with the images of one kind so far.

    `furthest` holds the images furthest off, `flipped` those of which the model says another best class: of these the
    ones it was surest of, for a near tie says little.
    """

    executor: str
    kind: str
    images: int = 0
    executor_refused: int = 0
    reference_refused: int = 0
    furthest: Foremost = field(default_factory=Foremost)
    flipped: Foremost = field(default_factory=Foremost)
    _sums: dict[str, float] = field(default_factory=dict)
    _largest: dict[str, float] = field(default_factory=dict)
    _compared: int = 0

    def add(self, outcome: Outcome) -> None:
        self.images += 1
        if isinstance(outcome, Compared):
            self._add_compared(outcome)
        elif not outcome.by_both:
            self.executor_refused += outcome.by_executor is not None
            self.reference_refused += outcome.by_reference is not None

    def row(self, thresholds: Thresholds, looks_like: str | None = None) -> Row:
        measured = self._measured()
        refusals = (self.executor_refused + self.reference_refused) / max(self.images, 1)
        return Row(
            executor=self.executor,
            kind=self.kind,
            images=self.images,
            compared=self._compared,
            executor_refused=self.executor_refused,
            reference_refused=self.reference_refused,
            **{name: measured.get(name) for name in (*_MEANS, *_LARGEST)},
            exceeded=thresholds.exceeded(self.kind, {**measured, "refusals": refusals}, self._compared),
            looks_like=looks_like,
        )

    def _add_compared(self, case: Compared) -> None:
        self._compared += 1
        for name, value in _means(case).items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        for name, value in _extremes(case).items():
            self._largest[name] = max(self._largest.get(name, 0.0), value)
        self.furthest.offer(case.pixels.mean, case)
        if case.flipped:
            self.flipped.offer(case.surety, case)

    def _measured(self) -> dict[str, float]:
        return {**{name: value / self._compared for name, value in self._sums.items()}, **self._largest}


def _means(case: Compared) -> dict[str, float]:
    measured = {"pixel_mean": case.pixels.mean}
    if case.scores:
        measured |= {"top_1": case.scores.top_1_agrees, "top_5": case.scores.top_5}
    return measured


def _extremes(case: Compared) -> dict[str, float]:
    measured = {
        "pixel_p99": case.pixels.p99,
        "pixel_max": case.pixels.maximum,
        "embedding_drift": case.embedding_drift,
    }
    return measured | ({"logit_drift": case.scores.logit_drift} if case.scores else {})
