"""How much less often each slice is answered rightly than the rest, and whether that can be chance."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fovea_server.studies import proportions
from fovea_server.studies.fairness import slicing
from fovea_server.studies.fairness.slicing import Mask
from fovea_server.studies.proportions import Difference, Share
from fovea_server.studies.traffic.samples import Ended, Sample

FEWEST = 30  # images whose truth is known, in a slice and in the rest
ALPHA = 0.01  # of the slices that are called worse, the share that may be so by chance
NOTICED = 0.02  # how much less often it must be right to be called worse


class Level(enum.Enum):
    """What is to be thought of a slice."""

    WORSE = "worse"
    NOT_WORSE = "not worse"
    TOO_FEW = "too few"


@dataclass(frozen=True)
class Gap:
    """One slice against the rest of the images.

    right, rest     of the images whose truth is known, those that were answered rightly
    difference      of the two shares: negative where the slice is answered worse
    alike           the same among images of the same true label: what is left where the slice has more of hard labels
    surplus         mean score of the best label less the share that is right: how much surer it is than it should be
    refused         of the requests that said to be of this slice; None for slices that nobody says
    p_value         of the difference, one-sided, with all slices that were looked at
    """

    slice: str
    right: Share
    rest: Share
    difference: Difference
    alike: Difference
    surplus: float
    refused: Share | None
    p_value: float | None = None
    level: Level = Level.TOO_FEW


@dataclass(frozen=True)
class Fairness:
    """Of one model in one window: `right` of all images whose truth is known, and each slice, the worst first."""

    model: str
    sample: Sample
    right: Share
    gaps: tuple[Gap, ...]

    @property
    def worse(self) -> tuple[Gap, ...]:
        return tuple(gap for gap in self.gaps if gap.level is Level.WORSE)


def find(model: str, labelled: Sample, ended: Sequence[Ended]) -> Fairness:
    """`labelled` has images whose truth is known."""
    correct = np.array(labelled.values("correct"), bool)
    scores = labelled.numbers("score")
    labels = np.array(labelled.values("label"), np.str_)
    found = [_gap(name, mask, correct, labels, scores, ended) for name, mask in slicing.slices(labelled)]
    order = sorted(_judged(found), key=lambda gap: (list(Level).index(gap.level), gap.difference.estimate))
    return Fairness(model, labelled, Share(int(correct.sum()), len(correct)), tuple(order))


def _gap(
    name: str,
    mask: Mask,
    correct: Mask,
    labels: NDArray[np.str_],
    scores: NDArray[np.float64],
    ended: Sequence[Ended],
) -> Gap:
    right, rest = (Share(int(correct[each].sum()), int(each.sum())) for each in (mask, ~mask))
    return Gap(
        name,
        right,
        rest,
        proportions.difference(right, rest),
        proportions.within_strata(*_by_label(mask, correct, labels)),
        float(scores[mask].mean()) - right.value,
        _refused(name, ended),
    )


def _by_label(mask: Mask, correct: Mask, labels: NDArray[np.str_]) -> tuple[list[Share], list[Share]]:
    """Of each true label the slice and the rest."""
    names, places = np.unique(labels, return_inverse=True)

    def shares(chosen: Mask) -> list[Share]:
        counts = np.bincount(places[chosen], minlength=len(names))
        hits = np.bincount(places[chosen], weights=correct[chosen], minlength=len(names))
        return [Share(int(hit), int(count)) for hit, count in zip(hits, counts, strict=True)]

    return shares(mask), shares(~mask)


def _refused(name: str, ended: Sequence[Ended]) -> Share | None:
    key, is_said, value = name.partition("=")
    if not is_said:
        return None
    said = [each for each in ended if each.slices.get(key) == value]
    return Share(sum(each.count for each in said if each.is_refusal), sum(each.count for each in said))


def _judged(gaps: Sequence[Gap]) -> list[Gap]:
    """With p-values for all slices that are large enough together (Benjamini and Hochberg 1995)."""
    enough = [gap for gap in gaps if min(gap.right.count, gap.rest.count) >= FEWEST]
    adjusted = stats.false_discovery_control([_one_sided(gap) for gap in enough]) if enough else ()
    found = {gap.slice: float(p_value) for gap, p_value in zip(enough, adjusted, strict=True)}
    return [_level(gap, found.get(gap.slice)) for gap in gaps]


def _one_sided(gap: Gap) -> float:
    half = gap.difference.p_value / 2
    return half if gap.difference.estimate < 0 else 1 - half


def _level(gap: Gap, p_value: float | None) -> Gap:
    if p_value is None:
        return gap
    is_worse = p_value < ALPHA and gap.difference.estimate <= -NOTICED
    return replace(gap, p_value=p_value, level=Level.WORSE if is_worse else Level.NOT_WORSE)
