"""Accuracy of the arms from answers whose truth is known, with the units that were assigned as what varies."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from fovea_server.studies.counts import Sample
from fovea_server.studies.strata import Pair, folded
from fovea_server.studies.truth import Labelled


def pairs(answers: Iterable[Labelled], stages_at: Sequence[float], control: str, candidate: str) -> list[Pair]:
    """Of each stage what the two arms did, `folded`; answers that are not of these arms are left out."""
    by_place: dict[tuple[int, str], list[Labelled]] = defaultdict(list)
    for answer in answers:
        by_place[bisect.bisect_right(stages_at, answer.at), answer.arm].append(answer)
    stages = sorted({stage for stage, _ in by_place})
    steps = ((by_place[stage, control], by_place[stage, candidate]) for stage in stages)
    return [(of_units(one), of_units(other)) for one, other in folded(steps, len)]


def of_units(answers: Sequence[Labelled]) -> Sample:
    """The share of right answers. Answers to one unit are alike, and so its variance is that of a ratio of sums over
    units (Cochran 1977, Sampling Techniques, 2.11; Deng, Knoblich, Lu 2018, Applying the delta method in metric
    analytics), never less than if each answer were a unit of its own."""
    right: dict[str, int] = defaultdict(int)
    given: dict[str, int] = defaultdict(int)
    for answer in answers:
        right[answer.unit] += answer.correct
        given[answer.unit] += 1
    alone = Sample.of_share(sum(right.values()), len(answers))
    units = len(given)
    if units < 2:
        return Sample(units and len(answers), alone.mean, np.inf)  # of one unit nobody knows how units differ
    off = np.array([right[unit] - alone.mean * given[unit] for unit in given])
    of_mean = units / (units - 1) * float(off @ off) / len(answers) ** 2
    return Sample(len(answers), alone.mean, max(of_mean * len(answers), alone.variance))
