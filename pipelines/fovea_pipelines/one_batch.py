"""Arrays of single images as one array of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Value = TypeVar("_Value", bound=np.generic)


def one_batch(arrays: Sequence[NDArray[_Value]]) -> NDArray[_Value]:
    """All of them, (n, ...), in one piece; a single one, which is what most requests bring, is copied only to make it
    so."""
    return np.ascontiguousarray(arrays[0])[np.newaxis] if len(arrays) == 1 else np.stack(arrays)
