"""Whether images can be told by their embeddings: a classifier of "before" and "now" that is tried on other images.

Classifier two-sample test (Lopez-Paz and Oquab 2017, Revisiting classifier two-sample tests, ICLR), with a linear
discriminant whose covariance is shrunk as by the oracle approximating shrinkage (Chen, Wiesel, Eldar, Hero 2010,
Shrinkage algorithms for MMSE covariance estimation, IEEE Transactions on Signal Processing 58). How well it tells them
is the area under its ROC curve on images that it did not learn from: 0.5 where it cannot, 1 where it always can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, stats

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Told:
    """`auc` and its p-value (Mann and Whitney, one-sided) on images it did not learn from; `newest` has the places of
    those of now among them, the least like before first."""

    auc: float
    p_value: float
    newest: tuple[int, ...]


def tell(
    reference: NDArray[np.float32],
    current: NDArray[np.float32],
    reference_digests: Sequence[str],
    current_digests: Sequence[str],
) -> Told:
    """Rows are embeddings, shape (images, features). It learns from the images whose digest ends in an even digit, so
    that an image which is in both windows is not learnt from in one and tried in the other. Raises ValueError where a
    half has none, and for what is no number."""
    halves = [np.array([int(digest[-1], 16) % 2 for digest in each]) for each in (reference_digests, current_digests)]
    before, now = reference.astype(np.float64), current.astype(np.float64)
    learnt, tried = ([each[half == side] for each, half in zip((before, now), halves, strict=True)] for side in (0, 1))
    if min(map(len, (*learnt, *tried))) < 2:
        raise ValueError("too few images to learn from and to try")
    direction = discriminant(*learnt)
    scores = [each @ direction for each in tried]
    test = stats.mannwhitneyu(scores[1], scores[0], alternative="greater")
    places = np.flatnonzero(halves[1] == 1)
    newest = tuple(int(place) for place in places[np.argsort(-scores[1], kind="stable")])
    return Told(float(test.statistic) / (len(scores[0]) * len(scores[1])), float(test.pvalue), newest)


def discriminant(before: Array, now: Array) -> Array:
    """Fisher's: the direction, shape (features,), along which the two lie farthest apart for how they vary."""
    centred = np.concatenate([before - before.mean(axis=0), now - now.mean(axis=0)])
    shift = now.mean(axis=0) - before.mean(axis=0)
    covariance = shrunk(centred.T @ centred / len(centred), len(centred))
    return np.asarray(linalg.solve(covariance, shift, assume_a="pos"))


def shrunk(covariance: Array, count: int) -> Array:
    """Towards a multiple of the identity, by OAS (equation 23): invertible with fewer images than features."""
    size = len(covariance)
    trace, squares = float(np.trace(covariance)), float(np.sum(covariance**2))
    below = (count + 1 - 2 / size) * (squares - trace**2 / size)
    share = min(((1 - 2 / size) * squares + trace**2) / below, 1.0) if below > 0 else 1.0
    level = trace / size or 1.0  # embeddings that are all alike
    # A millionth of the level: where the covariance is of few images, rounding must not make it singular.
    return np.asarray((1 - share) * covariance + (share + 1e-6) * level * np.eye(size))
