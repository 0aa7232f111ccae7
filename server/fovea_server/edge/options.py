"""What a caller may ask for besides the image, read from text: top_k, embedding, priority, time-out."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from fovea_server.domain import Deadline, Priority
from fovea_server.errors import BadParameter

PRIORITY = "X-Priority"
UNIT = "X-Unit"
LONGEST_UNIT = 255  # characters
CLASSIFY = frozenset(("model", "top_k", "embedding"))
ANALYZE = frozenset(("models", "top_k", "embedding"))
DEFAULT_TOP_K = 5
DEFAULT_TIMEOUT = 10.0
MAX_TIMEOUT = 300.0
_MOST_MODELS = 64

_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_PRIORITIES = {priority.name.lower(): priority for priority in Priority}
_WHOLE = re.compile(r"-?[0-9]{1,9}\Z")


def check_known(given: Iterable[tuple[str, str]], known: AbstractSet[str]) -> None:
    """Raise BadParameter for an option that does not exist or is there twice: one of them would be ignored in silence.

    `given` are names and values, as often as they came.
    """
    times = Counter(name for name, _ in given)
    if twice := sorted(name for name in times if times[name] > 1):
        raise BadParameter(f"{', '.join(twice)[:200]} is given more than once; several models are one list: models=a,b")
    if unknown := sorted(times.keys() - known):
        there_are = f"there are: {', '.join(sorted(known))}" if known else "this path takes none"
        raise BadParameter(f"there is no option {', '.join(unknown)[:200]!r}; {there_are}")


def one_model(name: str | None) -> tuple[str, ...]:
    return (name,) if name else ()


def several_models(names: Iterable[str]) -> tuple[str, ...]:
    """Each once, in the order of asking."""
    models = tuple(names)
    if not all(models) or not models:
        raise BadParameter("models must name one model or more: models=a,b")
    if len(models) > _MOST_MODELS:
        raise BadParameter(f"models names {len(models):,} models; at most {_MOST_MODELS}")
    if twice := sorted(name for name, times in Counter(models).items() if times > 1):
        raise BadParameter(f"models names {', '.join(twice)[:200]} more than once")
    return models


def top_k(text: str | None) -> int:
    """A whole number; whether the model has that many labels is for the service to say."""
    if text is None:
        return DEFAULT_TOP_K
    if not _WHOLE.match(text):
        raise BadParameter(f"top_k is {text[:40]!r}; it must be a whole number")
    return int(text)


def flag(name: str, text: str | None) -> bool:
    if text is None:
        return False
    if text.lower() not in _WORDS:
        raise BadParameter(f"{name} is {text[:40]!r}; it must be true or false")
    return _WORDS[text.lower()]


def priority(text: str | None) -> Priority:
    """Who nobody says anything of is waited for."""
    if text is None:
        return Priority.INTERACTIVE
    if text.lower() not in _PRIORITIES:
        raise BadParameter(f"{PRIORITY} is {text[:40]!r}; it must be {' or '.join(_PRIORITIES)}")
    return _PRIORITIES[text.lower()]


def unit(text: str | None) -> str:
    """Whom experiments are to treat alike; "" where the caller does not say."""
    if not text:
        return ""
    if len(text) > LONGEST_UNIT:
        raise BadParameter(f"{UNIT} has {len(text):,} characters; at most {LONGEST_UNIT}")
    return text


def unit_of_header(text: str | None) -> str:
    """The same of an HTTP header, whose bytes Starlette gives as Latin-1: they are UTF-8, as everywhere else."""
    said = (text or "").encode("latin-1")
    try:
        return unit(said.decode())
    except UnicodeDecodeError:
        raise BadParameter(f"{UNIT} is {said[:40]!r}; it must be UTF-8") from None


def deadline(text: str | None, received: float) -> Deadline:
    """From a time-out in seconds, counted from when the request was received."""
    if text is None:
        return Deadline(received + DEFAULT_TIMEOUT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MAX_TIMEOUT:
        raise BadParameter(
            f"X-Request-Timeout is {text[:40]!r}; it must be a number of seconds, more than 0, at most {MAX_TIMEOUT:g}"
        )
    return Deadline(received + seconds)
