"""Whether the arms were met by as many as their weights say. If not, something loses units, and nothing else holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

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


def check(observed: Sequence[Sequence[int]], weights: Sequence[float]) -> SampleRatio:
    """`observed` has, for each process, how many units each arm was met by; the weights sum to 1.

    Who was met by two processes is counted by both, so each process is tested by itself, and the least p-value counts
    as many times as there are processes (Bonferroni). Arms without weight are left out.
    """
    weighty = np.array(weights) > 0
    counts = np.array([each for each in observed if sum(each)], float).reshape(-1, len(weights))[:, weighty]
    expected = counts.sum(axis=1, keepdims=True) * np.array(weights)[weighty]
    statistics = ((counts - expected) ** 2 / expected).sum(axis=1)
    p_values = scipy.special.chdtrc(max(weighty.sum() - 1, 1), statistics)
    return SampleRatio(
        tuple(int(each) for each in counts.sum(axis=0)),
        tuple(float(each) for each in expected.sum(axis=0)),
        min(float(p_values.min()) * len(counts), 1.0) if len(counts) and weighty.sum() > 1 else 1.0,
    )
