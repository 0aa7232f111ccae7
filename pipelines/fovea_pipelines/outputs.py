"""What every engine answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Outputs:
    """A network's outputs for one image: `scores` FP32 (classes,) that sum to 1, `embedding` FP32 (features,).

    A network that only embeds has no scores.
    """

    scores: NDArray[np.float32] | None
    embedding: NDArray[np.float32]


def each(batch: Mapping[str, NDArray[np.float32]], count: int) -> list[Outputs]:
    """The first `count` images' outputs of those of a batch, SCORES (n, classes) where there are any and EMBEDDING
    (n, features)."""
    scores, embedding = batch.get("SCORES"), batch["EMBEDDING"]
    return [Outputs(None if scores is None else scores[place], embedding[place]) for place in range(count)]
