"""Whom experiments are to treat alike, as the caller says it: `X-Unit: user-4711`."""

from __future__ import annotations

from fovea_server.errors import BadParameter

HEADER = "X-Unit"
_LONGEST = 255


def read(text: str | None) -> str:
    """As said, "" where nothing is. Raises BadParameter for one that is too long."""
    if text and len(text) > _LONGEST:
        raise BadParameter(f"{HEADER} has {len(text)} characters; at most {_LONGEST}")
    return text or ""
