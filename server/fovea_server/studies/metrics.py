"""What an experiment can be judged by."""

from __future__ import annotations

import re

ACCURACY, AGREEMENT, ABSTENTION, LATENCY, ERRORS = "accuracy", "agreement", "abstention", "latency", "error_rate"
KNOWN = (ACCURACY, AGREEMENT, ABSTENTION, LATENCY, ERRORS)
OF_PAIRS = (ACCURACY, AGREEMENT)  # what can be told of an image that both arms have seen
EVENT = "event:"

_EVENT = re.compile(r"event:[a-z0-9][a-z0-9_.-]{0,62}\Z")
_LESS_IS_BETTER = (ABSTENTION, LATENCY, ERRORS)


def is_known(metric: str) -> bool:
    return metric in KNOWN or bool(_EVENT.match(metric))


def is_of_pairs(metric: str) -> bool:
    return metric in OF_PAIRS


def is_share(metric: str) -> bool:
    """Whether each observation is 0 or 1."""
    return metric in (ACCURACY, AGREEMENT, ABSTENTION, ERRORS)


def event_of(metric: str) -> str | None:
    """The name of the custom event that is meant."""
    return metric.removeprefix(EVENT) if metric.startswith(EVENT) else None


def prefers_more(metric: str, said: bool | None) -> bool:
    """Whether more of it is better; of an event whoever declares it may say so, else it is."""
    return (said is not False) if event_of(metric) else metric not in _LESS_IS_BETTER
