"""What a caller says of an image, so that quality can be told apart by it: `X-Slice: device=phone;region=eu`."""

from __future__ import annotations

import re

from fovea_server.errors import BadParameter

HEADER = "X-Slice"
_MOST = 8
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,31}\Z")
_VALUE = re.compile(r"[A-Za-z0-9_.:/+@ -]{1,64}\Z")

Slices = tuple[tuple[str, str], ...]


def read(text: str | None) -> Slices:
    """Names and values, sorted by name; none where nothing is said. Raises BadParameter."""
    if not text:
        return ()
    pairs = [_pair(part) for part in text.split(";") if part.strip()]
    if len(pairs) > _MOST:
        raise BadParameter(f"{HEADER} has {len(pairs)} slices; at most {_MOST}")
    if len({name for name, _ in pairs}) < len(pairs):
        raise BadParameter(f"{HEADER} names a slice more than once")
    return tuple(sorted(pairs))


def _pair(part: str) -> tuple[str, str]:
    name, found, value = (each.strip() for each in part.partition("="))
    if not found or not _NAME.match(name) or not _VALUE.match(value):
        raise BadParameter(
            f"{HEADER}: {part.strip()[:80]!r} is not name=value with a name of 1 to 32 of a-z 0-9 _ . - "
            "and a value of 1 to 64 of A-Z a-z 0-9 _ . : / + @ - and space"
        )
    return name, value
