"""Read the tensors of a PyTorch checkpoint without PyTorch, and without running anything it contains.

The format is the one `torch.save` wrote before version 1.6: five pickles one after another (magic number, protocol,
machine facts, the state dict, the storage keys), then each storage as a little-endian element count and its raw
elements. A pickle can name any callable; this reader resolves only the four names a state dict of tensors needs and
refuses every other.
"""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fovea_pipelines.errors import BadWeights

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001

Array = NDArray[Any]


@dataclass(frozen=True)
class _StorageType:
    dtype: np.dtype[Any]


@dataclass
class _Storage:
    dtype: np.dtype[Any]
    size: int
    data: Array | None = None


@dataclass(frozen=True)
class _TensorView:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def to_array(self) -> Array:
        if self.storage.data is None:
            raise BadWeights("the file ends before every tensor's data")
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))
        if 0 not in self.shape and (self.offset < 0 or last >= self.storage.size or min(self.stride, default=0) < 0):
            raise BadWeights(f"a tensor of shape {self.shape} reaches outside its {self.storage.size} elements")
        item = self.storage.dtype.itemsize
        view = np.lib.stride_tricks.as_strided(
            self.storage.data[self.offset :], self.shape, tuple(step * item for step in self.stride)
        )
        return view.copy()


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> _TensorView:
    return _TensorView(storage, offset, tuple(shape), tuple(stride))


_ALLOWED: dict[tuple[str, str], object] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): _StorageType(np.dtype("<f4")),
    ("torch", "LongStorage"): _StorageType(np.dtype("<i8")),
}


class _TensorsOnly(pickle.Unpickler):
    def __init__(self, file: BinaryIO, storages: dict[str, _Storage]) -> None:
        super().__init__(file, encoding="utf-8")
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise BadWeights(f"the file asks for {module}.{name}, which is not a tensor; it was not loaded")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _location, size, view = pid
        if kind != "storage" or not isinstance(storage_type, _StorageType) or view is not None:
            raise BadWeights(f"the file holds a {kind!r} this reader does not know")
        return self._storages.setdefault(key, _Storage(storage_type.dtype, size))


def read_state_dict(path: Path) -> dict[str, Array]:
    """The tensors of a checkpoint by name, as arrays of their own.

    Raises BadWeights for a file that is damaged, of another format, or holds anything but tensors.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise BadWeights(f"{path.name} is not a checkpoint this reader knows: {error}") from error


def _read(file: BinaryIO) -> dict[str, Array]:
    storages: dict[str, _Storage] = {}

    def next_pickle() -> Any:
        return _TensorsOnly(file, storages).load()

    if next_pickle() != _MAGIC or next_pickle() != _PROTOCOL:
        raise BadWeights("the file is not in PyTorch's legacy checkpoint format")
    next_pickle()  # facts about the machine that wrote it
    tensors = next_pickle()
    for key in next_pickle():
        _fill(storages[key], file)
    return {name: view.to_array() for name, view in tensors.items()}


def _fill(storage: _Storage, file: BinaryIO) -> None:
    count = int.from_bytes(file.read(8), "little")
    if count != storage.size:
        raise BadWeights(f"a storage declares {storage.size} elements and holds {count}")
    raw = file.read(count * storage.dtype.itemsize)
    if len(raw) != math.prod((count, storage.dtype.itemsize)):
        raise BadWeights("the file ends before every tensor's data")
    storage.data = np.frombuffer(raw, storage.dtype)
