"""What `torch.save` wrote before version 1.6.

Five pickles one after another (magic number, protocol, facts about the machine, the state dict, the keys of its
storages), then each storage as a little-endian count of elements and its raw elements.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, BinaryIO

from fovea_pipelines.errors import BadWeights
from fovea_pipelines.weights import torch_words
from fovea_pipelines.weights.naming import tensors_of
from fovea_pipelines.weights.tensors import Array, Storage, arrays

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


def read(file: BinaryIO, size: int) -> dict[str, Array]:
    """The tensors of the state dict by name. Raises BadWeights and ValueError for a file that is damaged."""
    if _next(file) != _MAGIC or _next(file) != _PROTOCOL:
        raise BadWeights("is a pickle, but not a PyTorch checkpoint")
    _next(file)  # facts about the machine that wrote it
    held, storages = torch_words.read(file)
    keys = _next(file)
    views = tensors_of(held)
    needed = {view.storage.key for view in views.values()}
    contents = _contents(file, size, [storages[key] for key in _known(keys, storages)], needed)
    if missing := sorted(needed - contents.keys()):
        raise BadWeights(f"is damaged: it lacks its storage {missing[0]}")
    return arrays(views, lambda storage: contents.pop(storage.key), size)


def _next(file: BinaryIO) -> Any:
    return torch_words.read(file)[0]


def _known(keys: Any, storages: dict[str, Storage]) -> list[str]:
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise BadWeights("is damaged: it lists storages that no tensor has")
    return keys


def _contents(file: BinaryIO, size: int, storages: list[Storage], needed: Collection[str]) -> dict[str, bytes]:
    """The raw elements of the storages that are needed, by key; the file's position passes over the others."""
    contents = {}
    for storage in storages:
        count = int.from_bytes(file.read(8), "little")
        if count != storage.size:
            raise BadWeights(f"is damaged: a storage declares {storage.size:,} elements and holds {count:,}")
        if file.tell() + storage.bytes > size:
            raise BadWeights("is damaged: it ends before every tensor's data")
        if storage.key in needed:
            contents[storage.key] = file.read(storage.bytes)
        else:
            file.seek(storage.bytes, 1)
    return contents
