"""Confidence sequences: intervals that hold at every look together, so that looking every hour costs nothing.

They are mixtures in the sense of Robbins (1970), Statistical methods related to the law of the iterated
logarithm:

- `difference` of two means, asymptotic: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (2024), Time-uniform central limit
  theory and asymptotic confidence sequences, Annals of Statistics 52(6), theorem 2.2; the boundary is the two-sided
  normal mixture of Howard, Ramdas, McAuliffe, Sekhon (2021), Time-uniform, nonparametric, nonasymptotic confidence
  sequences, Annals of Statistics 49(2), equation 14.
- `share` of a 0-1 outcome, exact at every sample size: the beta-binomial mixture of the likelihood ratio, Robbins
  (1970), section 2; Howard et al. (2021), section 3. `evidence` is its one-sided form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

_PRIOR = 0.5  # both parameters of the mixture's beta: Jeffreys' prior, which is narrow where outcomes are rare
_HALVINGS = 50

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Numbers, or arrays of one shape for many experiments at once."""

    lower: Array
    upper: Array


def difference(estimate: ArrayLike, variance: ArrayLike, information: ArrayLike, alpha: float) -> Interval:
    """Of two means, `estimate` apart, where the estimate has that variance.

    `information` is the one over variance at which the interval is to be narrowest, the planned one; any other is as
    valid. estimate +- sqrt(variance * (1 + 1/t) * log((1 + t) / alpha^2)), t = t* / (variance * information).
    """
    estimate, variance = np.asarray(estimate, float), np.asarray(variance, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        time = narrowest(alpha) / (variance * np.asarray(information, float))
        half = np.sqrt(variance) * boundary(time, alpha)
    half = np.where(variance > 0, half, np.inf)
    return Interval(estimate - half, estimate + half)


def boundary(time: ArrayLike, alpha: float) -> Array:
    """How many standard errors wide the interval is to each side after `time`, in units of the mixture's own."""
    time = np.asarray(time, float)
    return np.asarray(np.sqrt((1 + 1 / time) * (np.log1p(time) - 2 * np.log(alpha))))


def narrowest(alpha: float) -> float:
    """The time at which `boundary` is least: t* = -W(-alpha^2 / e) - 1 with the branch -1 of Lambert's W (Howard et
    al., section 3.5)."""
    return float(-scipy.special.lambertw(-(alpha**2) / np.e, k=-1).real - 1)


def share(successes: ArrayLike, count: ArrayLike, alpha: float) -> Interval:
    """Of a 0-1 outcome with that many successes among `count`: every share whose likelihood ratio against the mixture
    has never exceeded 1 / alpha could be the true one (Ville's inequality)."""
    successes, count = np.broadcast_arrays(np.asarray(successes, float), np.asarray(count, float))
    best = np.divide(successes, count, out=np.full(count.shape, 0.5), where=count > 0)
    lower = _edge(successes, count, alpha, np.zeros(count.shape), best)
    upper = _edge(successes, count, alpha, np.ones(count.shape), best)
    return Interval(lower, upper)


def evidence(successes: ArrayLike, count: ArrayLike, share: float) -> tuple[Array, Array]:
    """That a 0-1 outcome is rarer than `share`, and that it is oftener: the logarithms of likelihood ratios, mixed over
    the shares below alone and over those above. If it is not rarer, the first is at any look log(1 / alpha) or more
    with a chance of alpha at the most, and so is the second if it is not oftener (Ville's inequality)."""
    successes, count = np.broadcast_arrays(np.asarray(successes, float), np.asarray(count, float))
    likelihood = scipy.special.xlogy(successes, share) + scipy.special.xlog1py(count - successes, -share)
    some, others = successes + _PRIOR, count - successes + _PRIOR
    rarer = _log_below(some, others, share) - _log_below(_PRIOR, _PRIOR, share)
    oftener = _log_below(others, some, 1 - share) - _log_below(_PRIOR, _PRIOR, 1 - share)
    return rarer - likelihood, oftener - likelihood


def _log_below(a: ArrayLike, b: ArrayLike, share: float) -> Array:
    """Of the beta density without its constant, what lies below the share."""
    with np.errstate(divide="ignore"):  # so little that it is none
        return np.asarray(scipy.special.betaln(a, b) + np.log(scipy.special.betainc(a, b, share)))


def _edge(successes: Array, count: Array, alpha: float, outside: Array, inside: Array) -> Array:
    """Where the likelihood ratio crosses 1 / alpha between a share that is excluded, if any is, and the best one."""
    prior = scipy.special.betaln(_PRIOR, _PRIOR)
    evidence = scipy.special.betaln(successes + _PRIOR, count - successes + _PRIOR) - prior
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        likelihood = scipy.special.xlogy(successes, middle) + scipy.special.xlog1py(count - successes, -middle)
        excluded = evidence - likelihood > -np.log(alpha)
        outside, inside = np.where(excluded, middle, outside), np.where(excluded, inside, middle)
    return np.asarray(outside)
