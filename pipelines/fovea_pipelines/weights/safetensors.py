"""safetensors: the length of a header (u64, little-endian), the header in JSON, then the tensors without a gap.

The format is described at https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any, BinaryIO

from fovea_pipelines.errors import BadWeights
from fovea_pipelines.weights.naming import without_prefixes
from fovea_pipelines.weights.tensors import BFLOAT16, Array, Storage, TensorView, arrays, possible

_KINDS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": BFLOAT16,
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_LONGEST_HEADER = 100_000_000  # the format's own limit


def read(file: BinaryIO, size: int) -> dict[str, Array]:
    """The tensors by name. Raises BadWeights and ValueError for a file that is damaged."""
    length = int.from_bytes(file.read(8), "little")
    if length > min(_LONGEST_HEADER, size - 8):
        raise BadWeights(f"declares a header of {length:,} bytes; the file has {size:,}")
    header = json.loads(file.read(length).decode(), object_pairs_hook=_without_repeats)
    header.pop("__metadata__", None)
    views = {name: _view(name, entry) for name, entry in header.items()}
    begins = _begins(header, size - 8 - length)

    def content(storage: Storage) -> bytes:
        file.seek(8 + length + begins[storage.key])
        return file.read(storage.bytes)

    if not views:
        raise BadWeights("holds no tensors")
    return without_prefixes(arrays(views, content, size))


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadWeights("is damaged: its header says something twice")
    return found


def _view(name: str, entry: Any) -> TensorView:
    try:
        kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise BadWeights(f"is damaged: its header does not say what {name} is") from None
    if kind not in _KINDS:
        raise BadWeights(f"holds numbers of a kind this reader does not know: {name} is {kind}")
    if not possible((*shape, begin, end), len(shape)):
        raise BadWeights(f"has a tensor of no possible shape: {name}")
    *later, size = accumulate((1, *reversed(shape)), lambda product, side: product * side)
    view = TensorView(Storage(_KINDS[kind], name, size), 0, shape, tuple(reversed(later)))
    if view.storage.bytes != end - begin:
        raise BadWeights(f"declares {end - begin:,} bytes for {name}, which takes {view.storage.bytes:,}")
    return view


def _begins(header: dict[str, Any], size: int) -> dict[str, int]:
    """Where each tensor begins; together they cover the file once."""
    place = 0
    begins = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        if begin != place:
            raise BadWeights(f"is damaged: {name} begins at byte {begin:,}, and the tensor before it ends at {place:,}")
        begins[name], place = begin, end
    if place != size:
        raise BadWeights(f"declares {place:,} bytes of tensors and holds {size:,}")
    return begins
