"""Two arms on the same images: only those on which one is right and the other wrong tell them apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import scipy

from fovea_server.studies.observations import Disagreement


@dataclass(frozen=True)
class McNemar:
    """Images on which only the control was right, on which only the candidate was, on which both were wrong in
    different ways; and how likely a division at least as uneven is where the arms are equally good (McNemar 1947; the
    exact test with the mid-p correction, Fagerland, Lydersen, Laake 2013, BMC Medical Research Methodology 13:91)."""

    only_control: int
    only_candidate: int
    neither: int
    p_value: float


def mcnemar(disagreements: Iterable[Disagreement], labels: Mapping[str, str]) -> McNemar:
    """Of the disagreements whose true label is known."""
    only_control = only_candidate = neither = 0
    for each in disagreements:
        truth = labels.get(each.id)
        only_control += each.control == truth
        only_candidate += each.candidate == truth
        neither += truth is not None and truth not in (each.control, each.candidate)
    return McNemar(only_control, only_candidate, neither, mid_p(only_control, only_candidate))


def mid_p(one: int, other: int) -> float:
    """Two-sided, for that many on each side of a fair coin."""
    count, fewer = one + other, min(one, other)
    if count == 0:
        return 1.0
    up_to = float(scipy.special.bdtr(fewer, count, 0.5))
    below = float(scipy.special.bdtr(fewer - 1, count, 0.5)) if fewer else 0.0
    return min(up_to + below, 1.0)
