"""Find the best setting: coordinate descent with a baseline that is measured again and again.

Along one axis after the other every candidate is measured, all else kept; the best of an axis is taken where it wins.
Source: S. J. Wright, "Coordinate descent algorithms", Mathematical Programming 151 (2015), 3-34. A full grid of the
same candidates would be hundreds of trials; this is about thirty.

The rule against noise: the default setting is measured twice at first and again after each axis. A candidate's score is
divided by how far the baselines around its axis are from the first two (drift), and it wins only if it is then better
than the setting so far by more than the spread of all baselines, (largest - smallest) / mean and at least 3%, once when
it is tried and once more on the mean with a second measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from fovea_server.triton.tuned import Setting
from fovea_server.tuning.axes import Axis
from fovea_server.tuning.trial import Role, Trial

LEAST_SPREAD = 0.03
_FIRST = 2  # baselines before anything else is tried
_ROUNDS = 2  # over all axes; the second only where the first changed something

Run = Callable[[Setting, Role], Trial]


class BudgetSpent(Exception):
    """No time is left for another trial."""


@dataclass
class Search:
    """`best` is the setting so far, `score` its own in the units of the first baselines; `done` whether the search came
    to its end."""

    baseline: Setting
    best: Setting
    score: float = 0.0
    done: bool = False
    baselines: list[float] = field(default_factory=list)
    won: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, baseline: Setting) -> Search:
        return cls(baseline, baseline)

    @property
    def first(self) -> float:
        """The mean of the first two baselines; of one, where there was no time for another."""
        return fmean(self.baselines[:_FIRST]) if self.baselines else 0.0

    @property
    def spread(self) -> float:
        """Of the baselines: what a win must exceed, as a share."""
        mean = fmean(self.baselines) if self.baselines else 0.0
        return max((max(self.baselines) - min(self.baselines)) / mean, LEAST_SPREAD) if mean else LEAST_SPREAD

    def run(self, axes: Sequence[Axis], run: Run) -> None:
        """Search until nothing is left to try, or `run` raises BudgetSpent; what is known by then stays."""
        try:
            for _ in range(_FIRST):
                self._measure_baseline(run)
                self.score = self.first
            tried = {self.baseline}
            for _ in range(_ROUNDS):
                before = self.best
                for axis in axes:
                    self._follow(axis, tried, run)
                if self.best == before:
                    break
            self.done = True
        except BudgetSpent:
            pass

    def _follow(self, axis: Axis, tried: set[Setting], run: Run) -> None:
        """Measure all that is new along the axis, and take the best where it wins twice."""
        candidates = [each for each in axis.candidates(self.best) if each not in tried]
        if not candidates:
            return
        trials = [run(each, "candidate") for each in candidates]
        tried.update(candidates)
        self._measure_baseline(run)
        best = max(trials, key=lambda trial: trial.score)
        if not self._wins(best.score):
            return
        again = run(best.setting, "again")
        score = fmean((best.score, again.score))
        if again.score and self._wins(score):
            self.won.append(f"{axis.name}: {self.best.changes(best.setting)}")
            self.best, self.score = best.setting, score / self._drift()

    def _wins(self, score: float) -> bool:
        return score / self._drift() > self.score * (1 + self.spread)

    def _drift(self) -> float:
        """How the machine is now against how it was at first, by the baselines before and after this axis."""
        around = fmean(self.baselines[-2:])
        return around / self.first if around and self.first else 1.0

    def _measure_baseline(self, run: Run) -> None:
        self.baselines.append(run(self.baseline, "baseline").score)


def most_trials(axes: Sequence[Axis], baseline: Setting) -> int:
    """As many as one round takes at most."""
    tried = [len(axis.candidates(baseline)) for axis in axes]
    return 2 + sum(count + 2 for count in tried if count)
