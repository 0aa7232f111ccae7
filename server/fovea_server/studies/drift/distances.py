"""How far two samples lie apart, and how often they would by chance. Pure arithmetic.

Population stability index: the symmetrised Kullback-Leibler divergence of two histograms, in nats; by the convention of
credit scoring (Siddiqi 2006, Credit Risk Scorecards) below 0.1 nothing moved, from 0.25 on much has. Of two samples of
one population with B bins it is about (1/n + 1/m) times a chi-square of B - 1 degrees of freedom (Yurdakul and Naranjo
2020, Statistical properties of the population stability index), so that much is taken off: small samples, and a
thousand labels, would else have drifted always.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

BINS = 10
RARE = "others"  # of the values that are too rare to be told from chance
_EXPECTED = 5  # of a bin, in the smaller sample: with fewer, chi-square's tail is none (Cochran 1954)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Histograms:
    """What was counted of both samples in the same bins, each shape (bins,), and what the bins are, for people."""

    names: tuple[str, ...]
    reference: Array
    current: Array

    @property
    def psi(self) -> float:
        """Population stability index less what chance adds, at least 0. Half a count is added to each bin, or one that
        is empty would be infinitely far away (Jeffreys)."""
        if min(self.reference.sum(), self.current.sum()) == 0:
            return 0.0
        before, now = (_shares(each) for each in (self.reference, self.current))
        chance = (len(before) - 1) * (1 / self.reference.sum() + 1 / self.current.sum())
        return float(max(np.sum((now - before) * np.log(now / before)) - chance, 0.0))

    @property
    def p_value(self) -> float:
        """Of the same population: Pearson's chi-square test of homogeneity; 1 where there is one bin."""
        counted = np.array([self.reference, self.current])
        counted = counted[:, counted.sum(axis=0) > 0]
        if counted.shape[1] < 2 or not counted.sum(axis=1).all():
            return 1.0
        return float(stats.chi2_contingency(counted).pvalue)


def of_numbers(reference: Array, current: Array) -> Histograms:
    """In bins between the reference's deciles; values that many have in common are bins of their own."""
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1])) if reference.size else np.empty(0)
    before, now = (_between(values, edges) for values in (reference, current))
    return _merged(_spans(edges), before, now, _fewest(reference.size, current.size))


def of_values(reference: Sequence[Hashable], current: Sequence[Hashable]) -> Histograms:
    """Of each value how often it is there; those that are too rare to be told from chance are one."""
    before, now = Counter(reference), Counter(current)
    fewest = _fewest(len(reference), len(current))
    common = [value for value, count in (before + now).most_common() if count >= fewest]
    pairs = [(str(value), before[value], now[value]) for value in common]
    rest = (len(reference) - sum(pair[1] for pair in pairs), len(current) - sum(pair[2] for pair in pairs))
    if any(rest):
        pairs.append((RARE, *rest))
    names, *counts = zip(*pairs, strict=True) if pairs else ((), (), ())
    return Histograms(tuple(names), *(np.array(each, np.float64) for each in counts))


def ks_p_value(reference: Array, current: Array) -> float:
    """Two samples of one continuous population: Kolmogorov and Smirnov's test, conservative where values are equal."""
    if not reference.size or not current.size:
        return 1.0
    return float(stats.ks_2samp(reference, current, method="asymp").pvalue)


def _shares(counts: Array) -> Array:
    return np.asarray((counts + 0.5) / (counts + 0.5).sum())


def _between(values: Array, edges: Array) -> Array:
    """How many lie below the first edge, on it, between it and the next, and so on: shape (2 edges + 1,)."""
    places = np.searchsorted(edges, values, "left") + np.searchsorted(edges, values, "right")
    return np.bincount(places, minlength=2 * len(edges) + 1).astype(np.float64)


def _spans(edges: Array) -> list[tuple[float, float]]:
    """Of the same bins, from where to where."""
    return list(itertools.pairwise([-np.inf, *(edge for edge in edges for _ in range(2)), np.inf]))


def _merged(spans: list[tuple[float, float]], before: Array, now: Array, fewest: float) -> Histograms:
    """With each bin that is too rare to be told from chance joined to the one after it, the last to that before."""
    found: list[tuple[float, float, float, float]] = []
    begin: float | None = None
    counted = np.zeros(2)
    for (low, high), *more in zip(spans, before, now, strict=True):
        begin = low if begin is None else begin
        counted += more
        if counted.sum() >= fewest:
            found.append((begin, high, *counted))
            begin, counted = None, np.zeros(2)
    if begin is not None and found:
        low, _, *last = found.pop()
        found.append((low, spans[-1][1], *(counted + last)))
    names = tuple(_named(low, high) for low, high, _, _ in found)
    return Histograms(names, *(np.array([each[place] for each in found]) for place in (2, 3)))


def _named(low: float, high: float) -> str:
    if low == high:
        return f"{low:.4g}"
    if np.isinf(low):
        return "all" if np.isinf(high) else f"to {high:.4g}"
    return f"from {low:.4g}" if np.isinf(high) else f"{low:.4g} to {high:.4g}"


def _fewest(reference: int, current: int) -> float:
    """How often a bin must be there in both samples together to be expected `_EXPECTED` times in the smaller one."""
    return _EXPECTED * (reference + current) / max(min(reference, current), 1)
