"""Whether the arms were met by as many as their weights say. If not, something loses units, and nothing else holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

ALARM = 0.001  # the p-value below which the split is not believed
_PRIOR = 100  # how many units the prior of the mixture weighs: the alarm is least deaf at some 1,800 units

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SampleRatio:
    """Whether the exposures fit the weights, which is to be asked before anything else (Fabijan et al. 2019, Diagnosing
    sample ratio mismatch in online controlled experiments, KDD)."""

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
    shares = np.array(weights, float)[weighty]
    counts = np.array([each for each in observed if sum(each)], float).reshape(-1, len(weights))[:, weighty]
    return SampleRatio(
        tuple(int(each) for each in counts.sum(axis=0)),
        tuple(float(each) for each in counts.sum() * shares),
        min(float(p_values(counts, shares).min()) * len(counts), 1.0) if len(counts) else 1.0,
    )


def p_values(counts: Array, shares: Array) -> Array:
    """Of units that met each arm, shape (..., arms), against the arms' shares: shape (...).

    They hold at every look together: the chance that one is ever as low as p is at most p. One over the Bayes factor of
    the multinomial mixed by a Dirichlet prior around the shares, Lindon and Malek (2022), Anytime-valid inference for
    multinomial count data, NeurIPS 35.
    """
    prior, units = _PRIOR * shares, counts.sum(axis=-1)
    mixed = scipy.special.gammaln(counts + prior) - scipy.special.gammaln(prior)
    evidence = (mixed - scipy.special.xlogy(counts, shares)).sum(axis=-1)
    evidence += scipy.special.gammaln(_PRIOR) - scipy.special.gammaln(_PRIOR + units)
    return np.asarray(np.exp(-np.maximum(evidence, 0.0)))
