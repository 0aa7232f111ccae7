"""Name the stage that went wrong: the turned knob that explains the served pixels best."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable

import numpy as np

from fovea_pipelines.contract import Contract
from fovea_pipelines.parity.comparison import Compared
from fovea_pipelines.parity.executors import Pixels
from fovea_pipelines.parity.suspects import suspects

# Two right executors differ by rounding; below this mean there is nothing to explain.
_WORTH_EXPLAINING = 0.5
# A suspicion must leave at most this share of the difference unexplained.
_CLEARLY_CLOSER = 0.5


def diagnose(case: Compared, contract: Contract) -> str | None:
    """What these pixels look like, "orientation ignored" for example; None where no single knob explains them."""
    if case.pixels.mean < _WORTH_EXPLAINING:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow has said what it thinks of an odd file
        found = [(_distance(pixels, case.served), name) for name, pixels in suspects(case.specimen.content, contract)]
    distance, name = min(found)
    return name if distance <= _CLEARLY_CLOSER * case.pixels.mean else None


def verdict(diagnoses: Iterable[str | None]) -> str | None:
    """What most of the explained cases look like."""
    counts = Counter(diagnosis for diagnosis in diagnoses if diagnosis)
    return counts.most_common(1)[0][0] if counts else None


def _distance(a: Pixels, b: Pixels) -> float:
    """Mean |a - b|; infinite where the shapes differ."""
    if a.shape != b.shape:
        return np.inf
    return float(np.abs(a.astype(np.int16) - b).mean())
