"""Batches are filled up to one of a few sizes, so that every size an engine meets was met when it started.

An engine plans for each size by itself, which takes up to seconds: nobody's request should wait for that. ONNX Runtime
keeps a session for each, with memory of its own, together about twice what the largest needs; so they are few, and up
to half of a batch may be there to fill it.
"""

from __future__ import annotations

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def up_to(most: int) -> tuple[int, ...]:
    """Those that are used where a batch has at most `most` images."""
    return (*(size for size in _SIZES if size < most), most)


def filled_up(count: int, sizes: tuple[int, ...]) -> int:
    """The smallest of `sizes` that holds `count`."""
    return next(size for size in sizes if size >= count)
