"""How many answers an experiment needs, and how long that takes."""

from __future__ import annotations

import scipy

from fovea_server.studies.sequences import boundary, narrowest


def information(smallest_effect: float, alpha: float, power: float) -> float:
    """One over the variance of the estimate at which a difference of the smallest effect is found with that power.

    ((b + z) / effect)^2: b is where the boundary is narrowest, in standard errors, z the normal quantile of the power.
    Looks before then only add to it.
    """
    return float((boundary(narrowest(alpha), alpha) + scipy.special.ndtri(power)) / smallest_effect) ** 2


def seconds_left(wanted: float, reached: float, elapsed: float) -> float | None:
    """Until there is the information that is wanted, at the pace of so far; None where there is no pace yet."""
    if reached <= 0 or elapsed <= 0:
        return None
    return max(wanted / reached - 1, 0.0) * elapsed
