"""Rows in a file that is only ever appended to; whatever is cut off or damaged at its end is recognised and skipped.

A frame is a header (kind, length of the row, length of the blob, CRC-32 of both), the row as JSON, and the blob: an
embedding as float16, little-endian. Rows are framed one by one, rather than in Arrow's record batches, because a torn
batch would lose all its rows, and because JSON costs the gateway a third of the time of building small batches.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

_HEADER = struct.Struct("<4sBIII")  # magic, kind, row bytes, blob bytes, CRC-32
_MAGIC = b"FvL1"
_MOST = 16 << 20  # bytes of a row or blob; a length above it is damage
KINDS = ("records", "feedback")

Row = dict[str, Any]


class Framed(NamedTuple):
    """A row as it lies in a file."""

    text: bytes  # JSON, without a line break
    embedding: bytes  # float16, little-endian; empty where there is none


@dataclass
class Read:
    """What was in a file: rows by kind, and how many bytes at the end were not whole."""

    rows: dict[str, list[Framed]]
    torn_bytes: int = 0


def frame(kind: str, row: Row, embedding: bytes = b"") -> bytes:
    """ValueError for what would be read as damage."""
    text = orjson.dumps(row)
    if max(len(text), len(embedding)) > _MOST:
        raise ValueError(f"a row of {len(text)} and {len(embedding)} bytes is larger than {_MOST}")
    check = zlib.crc32(embedding, zlib.crc32(text))
    return b"".join((_HEADER.pack(_MAGIC, KINDS.index(kind), len(text), len(embedding), check), text, embedding))


def read(path: Path) -> Read:
    """All whole frames up to the first that is not; FileNotFoundError where there is no file."""
    content = path.read_bytes()
    found = Read({kind: [] for kind in KINDS})
    end = 0
    for kind, row, following in _frames(content):
        found.rows[kind].append(row)
        end = following
    found.torn_bytes = len(content) - end
    return found


def _frames(content: bytes) -> Iterator[tuple[str, Framed, int]]:
    """Kind, row, and where the next frame begins."""
    at = 0
    while at + _HEADER.size <= len(content):
        magic, kind, text_size, blob_size, check = _HEADER.unpack_from(content, at)
        if magic != _MAGIC or kind >= len(KINDS) or max(text_size, blob_size) > _MOST:
            return
        middle = at + _HEADER.size + text_size
        text, blob = content[at + _HEADER.size : middle], content[middle : middle + blob_size]
        if zlib.crc32(blob, zlib.crc32(text)) != check or len(text) + len(blob) != text_size + blob_size:
            return
        at = middle + blob_size
        yield KINDS[kind], Framed(text, blob), at
