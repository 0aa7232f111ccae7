"""The id of a request: what a server repeats as it is, and would otherwise replace by one of its own."""

from __future__ import annotations

import re
import uuid

# What can stand in a header and a log line without harm; no file is named after it.
_FIT = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}\Z")


def is_fit(given: str) -> bool:
    """Whether servers repeat it."""
    return _FIT.match(given) is not None


def made_or_checked(given: str | None) -> str:
    """`given`, or a new one where there is none. Raises ValueError for one that no server would repeat."""
    if given is None:
        return uuid.uuid4().hex
    if not is_fit(given):
        raise ValueError(f"the request id {given!r} is not 1 to 128 of A-Z a-z 0-9 . _ : / + = @ -")
    return given
