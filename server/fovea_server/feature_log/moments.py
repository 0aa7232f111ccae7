"""The moments that callers name: as of when, since when."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_ZONE_AFTER_SPACE = re.compile(r"(:\S*) (\d\d:\d\d)\Z")  # what becomes of a + in a query string


def read(text: str) -> datetime:
    """ISO 8601, to UTC; UTC where no zone is given. Raises ValueError with the reason.

    A moment that has not come is refused: what is known "as of" it still changes, and the same question would get
    another answer later.
    """
    try:
        # "Z" is read from Python 3.11 on.
        named = datetime.fromisoformat(_ZONE_AFTER_SPACE.sub(r"\1+\2", text.strip()).replace("Z", "+00:00"))
        moment = (named if named.tzinfo else named.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!r} is no moment; write 2026-11-21 or 2026-11-21T12:00:00Z") from None
    if (ahead := (moment - datetime.now(timezone.utc)).total_seconds()) > 0:
        raise ValueError(f"{text[:40]!r} is {_words(ahead)} in the future; name a moment that has passed")
    return moment


def _words(seconds: float) -> str:
    for unit, long in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * long:
            return f"{seconds / long:.0f} {unit}"
    return f"{seconds:.3g} seconds"
