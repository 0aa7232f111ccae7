"""What `torch.save` writes since 1.6, and `torch.jit.save`: a zip archive with a pickle and a file for each storage.

FOLDER/data.pkl, FOLDER/data/KEY, FOLDER/byteorder; TorchScript adds FOLDER/code, which is not read. Nothing is
unpacked to disk: entries are looked up by name, so their paths lead nowhere. PyTorch stores what is read here without
compression, which bounds it by the file; what somebody compressed is read up to a limit.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import BinaryIO

from fovea_pipelines.errors import BadWeights
from fovea_pipelines.weights import torch_words
from fovea_pipelines.weights.naming import tensors_of
from fovea_pipelines.weights.tensors import Array, Storage, arrays

_MOST_COMPRESSED = 1 << 20
_DATA = "data.pkl"


def read(file: BinaryIO, size: int) -> dict[str, Array]:
    """The tensors of the state dict by name. Raises BadWeights and ValueError for a file that is damaged."""
    try:
        with zipfile.ZipFile(file) as opened:
            return _read(_Archive(opened, size), size)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, KeyError) as error:
        # RuntimeError is what zipfile raises for an entry that wants a password.
        raise BadWeights(f"is damaged, or no archive of PyTorch's: {error}") from error


def _read(archive: _Archive, size: int) -> dict[str, Array]:
    order = archive.content("byteorder") if archive.has("byteorder") else b"little"
    if order not in (b"little", b"big"):
        raise BadWeights("is damaged: its byte order is neither little nor big")
    held, _ = torch_words.read(io.BytesIO(archive.content(_DATA)))

    def content(storage: Storage) -> bytes:
        return archive.content(f"data/{storage.key}", storage.bytes)

    return arrays(tensors_of(held), content, size, big_endian=order == b"big")


class _Archive:
    """The entries of the one folder that an archive of PyTorch's has."""

    def __init__(self, opened: zipfile.ZipFile, size: int) -> None:
        self._opened = opened
        self._size = size
        self._entries = {entry.filename: entry for entry in opened.infolist()}
        if len(self._entries) != len(opened.infolist()):
            raise BadWeights("holds two entries of one name")
        folders = [name.removesuffix(_DATA) for name in self._entries if name.endswith(f"/{_DATA}")]
        if len(folders) != 1:
            raise BadWeights(f"holds {len(folders)} state dicts ({_DATA}); one is read")
        self._folder = folders[0]

    def has(self, name: str) -> bool:
        return self._folder + name in self._entries

    def content(self, name: str, expected: int | None = None) -> bytes:
        """An entry's bytes, as many as it declares; refused beforehand if they are more than the file can hold."""
        if not self.has(name):
            raise BadWeights(f"is damaged: it lacks {name}")
        entry = self._entries[self._folder + name]
        if expected is not None and entry.file_size != expected:
            raise BadWeights(f"declares {expected:,} bytes for {name} and holds {entry.file_size:,}")
        stored = entry.compress_type == zipfile.ZIP_STORED
        if entry.file_size > (self._size if stored else _MOST_COMPRESSED):
            raise BadWeights(f"would unpack {name} to {entry.file_size:,} bytes; the file has {self._size:,}")
        return self._opened.read(entry)
