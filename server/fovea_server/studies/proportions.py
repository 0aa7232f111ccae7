"""Shares of what was counted once, compared at one look. (Experiments look again and again: sequences.py.)"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

_NORMAL_95 = 1.959964  # standard deviations


@dataclass(frozen=True)
class Share:
    """`hits` of `count`."""

    hits: int
    count: int

    @property
    def value(self) -> float:
        """NaN of nothing."""
        return self.hits / self.count if self.count else math.nan

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22."""
        if not self.count:
            return 0.0, 1.0
        found = stats.binomtest(self.hits, self.count).proportion_ci(confidence, method="wilson")
        return float(found.low), float(found.high)


@dataclass(frozen=True)
class Difference:
    """Of one share less another; the interval and p-value hold for one look."""

    estimate: float
    lower: float
    upper: float
    p_value: float


def difference(one: Share, other: Share, confidence: float = 0.95) -> Difference:
    """One less the other. Interval: Newcombe (1998), Interval estimation for the difference between independent
    proportions, Statistics in Medicine 17, method 10; p-value: Pearson's chi-square without correction, or 1 where
    all or none of both are hits. NaN, -1 to 1 and 1 where one of them is of nothing."""
    if not one.count or not other.count:
        return Difference(math.nan, -1.0, 1.0, 1.0)
    estimate = one.value - other.value
    (low, high), (other_low, other_high) = one.interval(confidence), other.interval(confidence)
    below = math.hypot(one.value - low, other_high - other.value)
    above = math.hypot(high - one.value, other.value - other_low)
    return Difference(estimate, estimate - below, estimate + above, _p_value(one, other))


def _p_value(one: Share, other: Share) -> float:
    table = np.array([[each.hits, each.count - each.hits] for each in (one, other)])
    if not table.sum(axis=0).all():
        return 1.0
    return float(stats.chi2_contingency(table, correction=False).pvalue)


def within_strata(one: Sequence[Share], other: Sequence[Share]) -> Difference:
    """One less the other within strata, of which each pair is one: what is left of a difference where one had more of
    the hard cases. Mantel and Haenszel's weights (Greenland and Robins 1985, Biometrics 41) and Sato's variance (1989,
    On the variance estimator for the Mantel-Haenszel risk difference, Biometrics 45), which holds with few large strata
    as with many small ones. NaN, -1 to 1 and 1 where no stratum has both."""
    x, n = (np.array([getattr(each, part) for each in one], np.float64) for part in ("hits", "count"))
    y, m = (np.array([getattr(each, part) for each in other], np.float64) for part in ("hits", "count"))
    both = (n > 0) & (m > 0)
    x, n, y, m = x[both], n[both], y[both], m[both]
    weights = n * m / (n + m)
    if not weights.size:
        return Difference(math.nan, -1.0, 1.0, 1.0)
    estimate = float(np.sum((x * m - y * n) / (n + m)) / weights.sum())
    p = np.sum((n**2 * y - m**2 * x + n * m * (m - n) / 2) / (n + m) ** 2)
    q = np.sum((x * (m - y) + y * (n - x)) / (2 * (n + m)))
    error = math.sqrt(max(estimate * p + q, 0.0)) / float(weights.sum())
    reach = _NORMAL_95 * error
    p_value = float(2 * stats.norm.sf(abs(estimate) / error)) if error else float(estimate == 0)
    return Difference(estimate, estimate - reach, estimate + reach, p_value)
