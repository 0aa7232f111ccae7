"""Batches are filled up to one of a few sizes, so that every size an engine meets was met when it started.

cuDNN looks for the fastest algorithm anew for each shape, which takes up to seconds: nobody's request should wait for
that. Between two sizes is at most a third, which a GPU of this kind hardly notices.
"""

from __future__ import annotations

_SIZES = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


def up_to(most: int) -> tuple[int, ...]:
    """Those that are used where a batch has at most `most` images."""
    return (*(size for size in _SIZES if size < most), most)


def filled_up(count: int, sizes: tuple[int, ...]) -> int:
    """The smallest of `sizes` that holds `count`."""
    return next(size for size in sizes if size >= count)
