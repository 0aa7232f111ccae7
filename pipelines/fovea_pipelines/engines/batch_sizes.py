"""Batches are filled up to one of a few sizes, so that every size an engine meets was met when it started.

An engine plans for each size by itself, which takes up to seconds: nobody's request should wait for that.

FEW     up to half of a batch may be there to fill it: for ONNX Runtime, which needs a session for each, with its own
        weights and memory for activations, together twice what the largest needs
MANY    up to a third: for TensorRT, where they cost only the meeting
"""

from __future__ import annotations

FEW = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MANY = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


def up_to(most: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Those that are used where a batch has at most `most` images."""
    return (*(size for size in sizes if size < most), most)


def filled_up(count: int, sizes: tuple[int, ...]) -> int:
    """The smallest of `sizes` that holds `count`."""
    return next(size for size in sizes if size >= count)
