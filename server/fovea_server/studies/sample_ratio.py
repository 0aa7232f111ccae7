"""Whether the arms were met by as many as their weights say. If not, something loses units, and nothing else holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

ALARM = 0.001  # the p-value below which the split is not believed


@dataclass(frozen=True)
class SampleRatio:
    """Pearson's chi-square goodness of fit of the exposures to the weights (Fabijan et al. 2019, Diagnosing sample
    ratio mismatch in online controlled experiments, KDD)."""

    observed: tuple[int, ...]
    expected: tuple[float, ...]
    p_value: float

    @property
    def is_mismatch(self) -> bool:
        return self.p_value < ALARM


def check(observed: Sequence[int], weights: Sequence[float]) -> SampleRatio:
    """`observed` units of each arm, and the weights, which sum to 1. Arms without weight are left out."""
    counts = np.array([each for each, weight in zip(observed, weights, strict=True) if weight > 0], float)
    expected = counts.sum() * np.array([weight for weight in weights if weight > 0], float)
    if counts.sum() == 0 or len(counts) < 2:
        return SampleRatio(tuple(map(int, counts)), tuple(expected), 1.0)
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return SampleRatio(tuple(map(int, counts)), tuple(expected), float(chdtrc(len(counts) - 1, statistic)))
