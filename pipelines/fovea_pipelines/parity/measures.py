"""How far two executors are apart, in pixels and in what the model says of them; arithmetic and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Below it a score says nothing: 32-bit softmax has no smaller numbers to give with any precision.
_LEAST_SCORE = 1e-30


@dataclass(frozen=True)
class PixelDifference:
    """|a - b| over all pixels and channels, in units of 0..255: its mean, 99th percentile and maximum."""

    mean: float
    p99: float
    maximum: float


def pixel_difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> PixelDifference:
    """Of two images of one shape (height, width, 3), UINT8. Raises ValueError where the shapes differ."""
    if a.shape != b.shape:
        raise ValueError(f"pixels of shape {a.shape} and {b.shape} cannot be compared")
    # A histogram of the 256 values there can be gives all three, in a third of the time of sorting.
    counts = np.bincount(np.abs(a.astype(np.int16) - b).ravel(), minlength=256)
    p99 = np.searchsorted(np.cumsum(counts), 0.99 * a.size)
    return PixelDifference(
        mean=float(counts @ np.arange(256) / a.size), p99=float(p99), maximum=float(np.flatnonzero(counts)[-1])
    )


def logits(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logits, centred on 0, from softmax scores of shape (classes,).

    Softmax forgets only a constant: log(score) is the logit minus the same number for every class, and without its
    mean it is the logit minus the logits' mean.
    """
    log: NDArray[np.float64] = np.log(np.maximum(scores.astype(np.float64), _LEAST_SCORE))
    centred: NDArray[np.float64] = log - log.mean()
    return centred


def logit_drift(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """The largest |difference| of two images' centred logits, from softmax scores of shape (classes,).

    Infinite where either holds a number that is not finite.
    """
    furthest = float(np.abs(logits(a) - logits(b)).max())
    return furthest if math.isfinite(furthest) else math.inf


def embedding_drift(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """1 - cosine of two embeddings of shape (features,): 0 where they point the same way, 1 at a right angle.

    Infinite where either holds a number that is not finite.
    """
    first, second = a.astype(np.float64), b.astype(np.float64)
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return math.inf
    lengths = np.linalg.norm(first) * np.linalg.norm(second)
    if lengths == 0:
        return 0.0 if np.array_equal(a, b) else 1.0
    return max(0.0, float(1 - first @ second / lengths))


def top_1_agrees(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether the best class is the same, from scores of shape (classes,)."""
    return int(a.argmax()) == int(b.argmax())


def top_5_agreement(a: NDArray[Any], b: NDArray[Any]) -> float:
    """How many of the five best classes are the same, in any order, as a fraction; all, where there are fewer."""
    count = min(5, a.size)
    return len(_best(a, count) & _best(b, count)) / count


def _best(scores: NDArray[Any], count: int) -> set[int]:
    return {int(index) for index in np.argpartition(-scores, count - 1)[:count]}
