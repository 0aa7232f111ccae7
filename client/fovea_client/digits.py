"""Floats of 32 bits as people and JSON are shown them."""

from __future__ import annotations

from typing import SupportsFloat


def shown(number: SupportsFloat) -> float:
    """A float of 32 bits holds seven digits; what 64 bits would add to them is noise."""
    return float(f"{number:.7g}")
