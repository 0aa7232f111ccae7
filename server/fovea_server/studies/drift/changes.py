"""One thing that was compared: how far it lies apart, whether that can be chance, and what to call it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from fovea_server.studies.drift.distances import Histograms

ALPHA = 0.01  # of all that is called moved or drifted, the share that may be chance


class Level(enum.Enum):
    """What is to be thought of a change."""

    STEADY = "steady"
    MOVED = "moved"
    DRIFTED = "drifted"
    TOO_FEW = "too few"


class Measure(enum.Enum):
    """The unit of an effect, and from which effect on it is called moved, and drifted.

    A normal distribution that moves by d standard deviations has a PSI of d^2 and an AUC of Phi(d / sqrt 2): the limits
    of the two are the same shift, 0.32 and 0.5.
    """

    PSI = ("PSI", 0.1, 0.25)
    AUC = ("AUC", 0.59, 0.64)
    POINTS = ("points", 0.01, 0.02)

    def __init__(self, label: str, moved: float, drifted: float) -> None:
        self.label = label
        self.moved = moved
        self.drifted = drifted


@dataclass(frozen=True)
class Change:
    """`before` and `now` in words; `effect` and `p_value` are None, and the level TOO_FEW, where it cannot be told.

    Only what is worse, of accuracy and of refusals, has a positive effect in points.
    """

    feature: str
    measure: Measure
    before: str
    now: str
    effect: float | None = None
    p_value: float | None = None
    level: Level = Level.TOO_FEW
    why: str = ""
    histograms: Histograms | None = None


def judged(changes: Sequence[Change]) -> list[Change]:
    """With p-values for all that were looked at together (Benjamini and Hochberg 1995), and the levels they give."""
    told = [change for change in changes if change.p_value is not None]
    adjusted = stats.false_discovery_control([change.p_value for change in told]) if told else np.empty(0)
    together = {id(change): float(p_value) for change, p_value in zip(told, adjusted, strict=True)}
    return [_judged(change, together.get(id(change))) for change in changes]


def _judged(change: Change, p_value: float | None) -> Change:
    if p_value is None or change.effect is None:
        return change
    level = Level.STEADY
    if p_value < ALPHA and change.effect >= change.measure.moved:
        level = Level.DRIFTED if change.effect >= change.measure.drifted else Level.MOVED
    return replace(change, p_value=p_value, level=level)
