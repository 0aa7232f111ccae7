"""Read the header of an AVIF, HEIC or HEIF: the size and the turn of its primary item (ISO/IEC 14496-12, 23008-12)."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Any

from fovea_pipelines.headers.frame import Frame, Load, fields, not_served
from fovea_pipelines.headers.refusals import Damaged

_SEQUENCES = frozenset((b"avis", b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"))
_MAIN = frozenset((b"ftyp", b"meta", b"mdat"))
_MOST_BOXES = 4096  # in one box
_MOST_ITEMS = 1000  # libheif takes no more either
_MOST_ASSOCIATIONS = 4  # one box for each of its two versions with each of its two flags
_PADDING = 64  # an encoder fills up its last block with fewer pixels than this
_BOX = Struct(">I4s")
_LARGE = Struct(">Q")
_FULL = Struct(">B3s")  # version, flags
_COUNT = Struct(">I")
_BYTE = Struct(">B")
_SIZE = Struct(">4xII")
_CLEAN = Struct(">IIII")  # width and height, each as a fraction
_IDS = (Struct(">H"), Struct(">I"))  # of the primary item, by version
_ASSOCIATIONS = (Struct(">HB"), Struct(">IB"))  # an item and how many properties it has, by version
# By its turn in quarters against the clock, then which axis is mirrored: 0 swaps top and bottom, 1 left and right.
_TO_EXIF: dict[int | None, tuple[int, int, int, int]] = {None: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}

Span = tuple[int, int]  # begin and end of a box's content
Boxes = dict[bytes, list[Span]]


def read(image: bytes) -> Frame:
    """Size and orientation of the primary item, as its properties say. A sequence of images is not served."""
    outer = _named(image, (0, len(image)))
    if image[8:12] in _SEQUENCES or b"moov" in outer:
        raise not_served("a sequence of images")
    begin, end = _only(outer, b"meta")
    _content(_FULL, image, (begin, end), b"meta")
    meta = _named(image, (begin + _FULL.size, end))
    properties = _named(image, _only(meta, b"iprp"))
    wanted = _indexes(image, properties, _primary(image, meta))
    every = list(_boxes(image, _only(properties, b"ipco")))
    profile = sum(stop - start for kind, (start, stop) in every if kind == b"colr")
    load = Load(_described(outer) + end - begin - profile, profile)
    return _frame(image, [every[index - 1] for index in wanted if 0 < index <= len(every)], load)


def _described(outer: Boxes) -> int:
    """Bytes of the boxes beside the pixels; EXIF and XMP that stand among the pixels are not told apart from them."""
    return sum(end - begin for kind, spans in outer.items() if kind not in _MAIN for begin, end in spans)


def _frame(image: bytes, properties: list[tuple[bytes, Span]], load: Load) -> Frame:
    """What the properties of the primary item come to, in their order."""
    sizes: list[tuple[int, int]] = []
    angle, mirror = 0, None
    for kind, span in properties:
        if kind == b"ispe":
            width, height = _content(_SIZE, image, span, kind)
            sizes.append((width, height))
        elif kind == b"clap" and sizes:
            sizes[-1] = _without_padding(sizes[-1], _content(_CLEAN, image, span, kind))
        elif kind == b"irot":
            angle = _content(_BYTE, image, span, kind)[0] & 3
            # Mirrored first and then turned by a quarter is turned first and then mirrored on the other axis.
            mirror = mirror ^ 1 if mirror is not None and angle & 1 else mirror
        elif kind == b"imir":
            mirror = _content(_BYTE, image, span, kind)[0] & 1
    if len(sizes) != 1:
        raise Damaged(f"its primary item has {len(sizes)} sizes; one is needed")
    return Frame(*sizes[0], orientation=_TO_EXIF[mirror][angle], load=load)


def _without_padding(coded: tuple[int, int], clean: tuple[int, ...]) -> tuple[int, int]:
    """The size without what an encoder added to fill its blocks; a picture that was really cut keeps its size."""
    width, width_parts, height, height_parts = clean
    if not width_parts or not height_parts:
        raise Damaged("the cut of its primary item is a fraction of zero parts")
    size = width // width_parts, height // height_parts
    padded = all(0 < cut <= whole < cut + _PADDING for cut, whole in zip(size, coded, strict=True))
    return size if padded else coded


def _primary(image: bytes, meta: Boxes) -> int:
    begin, end = _only(meta, b"pitm")
    version, _ = _content(_FULL, image, (begin, end), b"pitm")
    (item,) = _content(_IDS[version > 0], image, (begin + _FULL.size, end), b"pitm")
    return int(item)


def _indexes(image: bytes, properties: Boxes, primary: int) -> list[int]:
    """Which properties, counted from 1, the primary item has."""
    boxes = properties.get(b"ipma", [])
    if len(boxes) > _MOST_ASSOCIATIONS:
        raise Damaged(f"it has {len(boxes):,} boxes ipma; at most {_MOST_ASSOCIATIONS}")
    found = [indexes for box in boxes for item, indexes in _associations(image, box) if item == primary]
    if len(found) != 1:
        raise Damaged(f"its primary item has {len(found)} lists of properties; one is needed")
    raw, width = found[0]
    whole = [int.from_bytes(raw[at : at + width], "big") for at in range(0, len(raw), width)]
    # The highest bit only says that the property is essential.
    return [index & (1 << 8 * width - 1) - 1 for index in whole]


def _associations(image: bytes, box: Span) -> Iterator[tuple[int, tuple[bytes, int]]]:
    """Each item, with the indexes of its properties as they are stored, and how many bytes one of them takes."""
    begin, end = box
    version, flags = _content(_FULL, image, box, b"ipma")
    (count,) = _content(_COUNT, image, (begin + _FULL.size, end), b"ipma")
    if count > _MOST_ITEMS:
        raise Damaged(f"it has {count:,} items; at most {_MOST_ITEMS:,}")
    entry, width = _ASSOCIATIONS[version > 0], 2 if flags[2] & 1 else 1
    place = begin + _FULL.size + _COUNT.size
    for _ in range(count):
        item, indexes = _content(entry, image, (place, end), b"ipma")
        place += entry.size
        stop = place + indexes * width
        if stop > end:
            raise Damaged(f"it says that an item has {indexes} properties, behind the end of the box ipma")
        yield item, (image[place:stop], width)
        place = stop


def _named(image: bytes, span: Span) -> Boxes:
    boxes: Boxes = {}
    for kind, content in _boxes(image, span):
        boxes.setdefault(kind, []).append(content)
    return boxes


def _only(boxes: Boxes, kind: bytes) -> Span:
    found = boxes.get(kind, [])
    if len(found) != 1:
        raise Damaged(f"it has {len(found)} boxes {kind.decode()} where one is needed")
    return found[0]


def _content(layout: Struct, image: bytes, span: Span, kind: bytes) -> tuple[Any, ...]:
    """The fields with which this part of a box begins."""
    begin, end = span
    if begin + layout.size > end:
        raise Damaged(f"its box {kind.decode()} ends {begin + layout.size - end} bytes too early")
    return layout.unpack_from(image, begin)


def _boxes(image: bytes, span: Span) -> Iterator[tuple[bytes, Span]]:
    """Type and content of each box in the span; a size of 0 means up to its end, 1 that 64 bits of size follow."""
    position, end = span
    for _ in range(_MOST_BOXES):
        if position == end:
            return
        size, kind = fields(_BOX, image, position, "the next box")
        content = position + _BOX.size
        if size == 1:
            (size,) = fields(_LARGE, image, content, "the next box")
            content += _LARGE.size
        stop = position + size if size else end
        if not content <= stop <= end:
            raise Damaged(f"the box at byte {position:,} claims {size:,} bytes; {end - position:,} are left")
        yield kind, (content, stop)
        position = stop
    raise Damaged(f"it has more than {_MOST_BOXES:,} boxes in one")
