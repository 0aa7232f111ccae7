"""Read a TIFF directory: the form in which EXIF blocks and TIFF files keep what they say."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct, error

from fovea_pipelines.headers.refusals import Damaged

BYTE_ORDERS = {b"II": "<", b"MM": ">"}
CLASSIC = 42  # the mark of a TIFF with offsets of 32 bits

_MOST_ENTRIES = 512
_HEADERS = {order: Struct(f"{order}HI") for order in "<>"}  # the mark, where the directory begins
_COUNTS = {order: Struct(f"{order}H") for order in "<>"}
_ENTRIES = {order: Struct(f"{order}HHII") for order in "<>"}  # tag, type, count, value or offset
_NEXT = {order: Struct(f"{order}I") for order in "<>"}  # behind the entries: where the next directory begins
_SHORTS = {order: Struct(f"{order}H") for order in "<>"}  # a value that is a SHORT, in the first half of its field

Entry = tuple[int, int, int, int, int]  # tag, type, count, value or offset, value if it is a SHORT


def begin(block: memoryview, order: str) -> tuple[int, int]:
    """The mark, 42 in a sound block, and where the first directory stands. Raises struct.error at the block's end."""
    mark, start = _HEADERS[order].unpack_from(block, 2)
    return mark, start


def entries(block: memoryview, order: str, start: int, where: str) -> Iterator[Entry]:
    """The entries of the directory at `start`. Raises Damaged, naming `where`, and struct.error at the block's end."""
    (count,) = _COUNTS[order].unpack_from(block, start)
    # What would take long to read is refused; a number of entries that are not there is only damage.
    if count > _MOST_ENTRIES and start + 12 * _MOST_ENTRIES < len(block):
        raise Damaged(f"{where} has {count:,} entries; at most {_MOST_ENTRIES}")
    entry, short = _ENTRIES[order].unpack_from, _SHORTS[order].unpack_from
    for offset in range(start + 2, start + 2 + 12 * count, 12):
        yield *entry(block, offset), *short(block, offset + 8)


def count(block: memoryview, order: str, start: int, most: int) -> int:
    """How many directories follow one another from `start` on, as far as they can be followed; at most `most`."""
    seen: set[int] = set()
    try:
        while start and start not in seen and len(seen) < most:
            (number,) = _COUNTS[order].unpack_from(block, start)
            seen.add(start)
            (start,) = _NEXT[order].unpack_from(block, start + 2 + 12 * number)
    except error:
        pass
    return max(len(seen), 1)
