"""Checkpoints written by hand, instruction by instruction: torch would not write most of them."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def mapping(entries: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(name) + value for name, value in entries.items()) + b"u"


def module(name: str, attributes: Mapping[str, bytes]) -> bytes:
    """As TorchScript writes an object."""
    return b"c__torch__\n" + name.encode() + b"\n)\x81" + mapping(attributes) + b"b"


def pickled(value: bytes) -> bytes:
    return b"\x80\x02" + value + b"."


def tensor(
    shape: tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    *,
    key: str = "0",
    offset: int = 0,
    size: int | None = None,
    kind: str = "FloatStorage",
) -> bytes:
    """A tensor, by default all of its storage, row after row."""
    steps = [1]
    for side in reversed(shape):
        steps.append(steps[-1] * side)
    stride = tuple(reversed(steps[:-1])) if stride is None else stride
    count = steps[-1] if size is None else size
    storage = text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number(count)
    window = number(offset) + numbers(shape) + numbers(stride)
    return b"ctorch._utils\n_rebuild_tensor_v2\n((" + storage + b"tQ" + window + b"\x89" + ORDERED_DICT + b"tR"


def archive(
    path: Path, held: bytes, storages: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED, order: str = ""
) -> Path:
    """What torch.save writes since 1.6, of what `held` pushes."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", pickled(held))
        if order:
            file.writestr("archive/byteorder", order)
        for key, content in storages.items():
            file.writestr(f"archive/data/{key}", content)
    return path


def safetensors(path: Path, header: Any, content: bytes) -> Path:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + content)
    return path


def raw(array: NDArray[Any]) -> bytes:
    return array.tobytes()
