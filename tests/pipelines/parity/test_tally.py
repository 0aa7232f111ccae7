"""A tally keeps few images with their pixels: those furthest off, and those with another best class."""

from __future__ import annotations

import numpy as np

from fovea_pipelines.parity.comparison import Best, Compared, ScoresCompared
from fovea_pipelines.parity.corpus import Specimen
from fovea_pipelines.parity.measures import PixelDifference
from fovea_pipelines.parity.tally import KEPT, Tally

PIXELS = np.zeros((1, 1, 3), np.uint8)


def _case(mean: float, surety: float, *, flipped: bool) -> Compared:
    scores = ScoresCompared(0.0, (Best(1, surety), Best(2 if flipped else 1, surety)), 1.0)
    name = f"{mean} {surety}"
    return Compared("dali", Specimen(name, (), b""), PIXELS, PIXELS, PixelDifference(mean, 0, 0), 0.0, scores)


def test_a_few_are_kept_of_each_and_a_sure_class_that_flipped_before_a_near_tie() -> None:
    tally = Tally("dali", "odd")
    for number in range(100):
        tally.add(_case(number, surety=1 - number / 100, flipped=number % 2 == 1))
    assert [case.pixels.mean for case in tally.furthest.in_order()] == list(range(99, 99 - KEPT, -1))
    assert [case.pixels.mean for case in tally.flipped.in_order()] == list(range(1, 1 + 2 * KEPT, 2))
