"""The id of a request: the caller's if it is fit to be repeated, else one of ours."""

from __future__ import annotations

import re
import uuid

from starlette.requests import Request

HEADER = "X-Request-ID"

# What can stand in a header, a log line and a file name without harm.
_FIT = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}\Z")


def accept(given: str | None) -> str:
    """`given` if it is 1 to 128 harmless characters, else a new random id."""
    if given and _FIT.match(given):
        return given
    return uuid.uuid4().hex


def of_request(request: Request) -> str:
    """The id of a REST request, decided once."""
    if not hasattr(request.state, "request_id"):
        request.state.request_id = accept(request.headers.get(HEADER))
    return str(request.state.request_id)
