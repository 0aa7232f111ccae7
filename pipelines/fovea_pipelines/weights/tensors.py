"""Tensors as a file describes them, a window on a storage, and the arrays they become once the windows are checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovea_pipelines.errors import BadWeights

Array = NDArray[Any]

BFLOAT16 = "bfloat16"
# How the numbers lie in the file, little-endian; bfloat16 is the upper half of a float32.
_STORED = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    BFLOAT16: "<u2",
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "i1",
    "uint8": "u1",
    "bool": "u1",
}
# Tied weights repeat a storage, and bfloat16 doubles; what grows beyond this was made to fill memory.
_MOST_TIMES_THE_FILE = 4
_ALWAYS_ALLOWED = 1 << 20
_MOST_SIDES = 64  # PyTorch's own limit


@dataclass(frozen=True)
class Storage:
    """`size` numbers, one after another, that the file keeps under `key`."""

    kind: str
    key: str
    size: int

    @property
    def bytes(self) -> int:
        return self.size * np.dtype(_STORED[self.kind]).itemsize


@dataclass(frozen=True)
class TensorView:
    """Where a tensor lies in its storage, in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Of the array it becomes."""
        return self.size * (4 if self.storage.kind == BFLOAT16 else np.dtype(_STORED[self.storage.kind]).itemsize)


def arrays(
    views: Mapping[str, TensorView], content: Callable[[Storage], bytes], file_size: int, *, big_endian: bool = False
) -> dict[str, Array]:
    """The tensors by name. `content` gives a storage's raw bytes; every window is checked before any is read.

    Raises BadWeights for a tensor that reaches outside its storage, and for tensors that together come to more than
    four times the file: a step of 0 repeats one number as often as a shape says.
    """
    for name, view in views.items():
        _check(name, view)
    _check_sum(sum(view.bytes for view in views.values()), file_size)
    _check_sum(sum(storage.bytes for storage in {view.storage for view in views.values()}), file_size)
    raw = _Raw(content, views, big_endian)
    return {name: _array(view, raw.of(view.storage)) for name, view in views.items()}


def possible(numbers: Sequence[object], sides: int) -> bool:
    """Whether a tensor of so many sides can have these sizes; the product of more is itself too large to compute."""
    return sides <= _MOST_SIDES and all(type(number) is int and 0 <= number < 2**63 for number in numbers)


def _check(name: str, view: TensorView) -> None:
    sides = len(view.shape)
    if sides != len(view.stride) or not possible((view.offset, view.storage.size, *view.shape, *view.stride), sides):
        raise BadWeights(f"has a tensor of no possible shape: {name}")
    last = view.offset + sum((n - 1) * step for n, step in zip(view.shape, view.stride, strict=True))
    if view.size and last >= view.storage.size:
        raise BadWeights(
            f"has a tensor that reaches outside its storage: {name} of shape {view.shape} ends at element {last:,} of "
            f"{view.storage.size:,}"
        )


def _check_sum(total: int, file_size: int) -> None:
    if total > max(_MOST_TIMES_THE_FILE * file_size, _ALWAYS_ALLOWED):
        raise BadWeights(
            f"has {file_size:,} bytes and its tensors would take {total:,}, more than {_MOST_TIMES_THE_FILE} times that"
        )


class _Raw:
    """Reads each storage once, and keeps it only as long as a tensor is to come that uses it."""

    def __init__(self, content: Callable[[Storage], bytes], views: Mapping[str, TensorView], big_endian: bool) -> None:
        self._content = content
        self._big_endian = big_endian
        self._uses: dict[str, int] = {}
        self._kept: dict[str, Array] = {}
        for view in views.values():
            self._uses[view.storage.key] = self._uses.get(view.storage.key, 0) + 1

    def of(self, storage: Storage) -> Array:
        self._uses[storage.key] -= 1
        raw = self._kept.pop(storage.key, None)
        if raw is None:
            raw = self._read(storage)
        if self._uses[storage.key]:
            self._kept[storage.key] = raw
        return raw

    def _read(self, storage: Storage) -> Array:
        content = self._content(storage)
        if len(content) != storage.bytes:
            raise BadWeights(f"declares {storage.bytes:,} bytes for a storage and holds {len(content):,}")
        stored = np.dtype(_STORED[storage.kind])
        return np.frombuffer(content, stored.newbyteorder(">") if self._big_endian else stored)


def _array(view: TensorView, raw: Array) -> Array:
    if not view.size:
        window = np.empty(view.shape, raw.dtype)
    else:
        steps = tuple(step * raw.itemsize for step in view.stride)
        window = np.lib.stride_tricks.as_strided(raw[view.offset :], view.shape, steps)
    if view.storage.kind == BFLOAT16:
        return (window.astype(np.uint32) << 16).view(np.float32)
    if view.storage.kind == "bool":
        return np.asarray(window != 0)
    return window.astype(window.dtype.newbyteorder("="))
