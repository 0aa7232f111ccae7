"""Read the header of a JPEG: its segments up to the first scan, and how many scans follow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from struct import Struct

from fovea_pipelines.headers import exif, xmp
from fovea_pipelines.headers.frame import Frame, Load, fields, not_served, require
from fovea_pipelines.headers.refusals import Damaged

# A few bytes make a scan that costs a pass over all pixels: 400 of them, 39 KB, took 11 s at 7000x7000.
_MOST_SCANS = 64
_MOST_FILL = 65_536  # bytes FF before markers; Pillow takes half a microsecond for each
_MOST_SEGMENTS = 1024  # a photograph has a dozen; one with a 20 MB depth map in its XMP, 320

_APP1, _APP2, _APP14, _SOS, _EOI, _PROGRESSIVE = 0xE1, 0xE2, 0xEE, 0xDA, 0xD9, 0xC2
CARRIED = frozenset((*range(0xE0, 0xF0), 0xFE))  # APP0 to APP15, and comments
_BARE = frozenset((0x01, *range(0xD0, 0xD9)))  # TEM, RST0 to RST7, SOI: markers without a length
_SERVED = frozenset((0xC0, 0xC1, _PROGRESSIVE))
_REFUSED = {
    0xC3: "a lossless JPEG",
    0xC5: "a hierarchical JPEG",
    0xC6: "a hierarchical JPEG",
    0xC7: "a hierarchical JPEG",
    0xC9: "an arithmetic-coded JPEG",
    0xCA: "an arithmetic-coded JPEG",
    0xCB: "an arithmetic-coded JPEG",
    0xCD: "an arithmetic-coded JPEG",
    0xCE: "an arithmetic-coded JPEG",
    0xCF: "an arithmetic-coded JPEG",
}
_EXIF, _XMP, _ADOBE, _ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"Adobe", b"ICC_PROFILE\0"
_MARKER = re.compile(rb"\xff{1,1024}([^\x00\xff])", re.DOTALL)
MARKER_AFTER_SCAN = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)  # a scan holds FF 00 and FF D0 to FF D7
_FRAME = Struct(">HBHHB")  # length, precision, height, width, components

Segment = tuple[int, int, int]  # marker, where its length stands, where it ends


def read(image: bytes) -> Frame:
    """The size in the frame header and the orientation in the EXIF segment."""
    kind, size, components, blocks, scans, adobe, only_scan = 0, None, 0, [], 0, False, 0
    carried: list[Segment] = []
    for marker, start, end in _segments(image):
        if marker in CARRIED:
            carried.append((marker, start, end))
        if marker == _SOS:
            scans += 1
            # A scan of all components is the only one of its frame, unless that is progressive.
            holds_all = kind != _PROGRESSIVE and image[start + 2 : start + 3] == bytes([components])
            only_scan = end if holds_all else 0
            if scans > _MOST_SCANS or only_scan:
                break
        elif marker in _SERVED or marker in _REFUSED:
            if size:
                raise Damaged(f"it has a second frame header at byte {start:,}")
            kind, size, components = marker, _size(image, marker, start), image[start + 7]
        elif marker == _APP1 and not scans and image.startswith(_EXIF, start + 2, end):
            blocks.append(memoryview(image)[start + 8 : end])
        elif marker == _APP14 and image.startswith(_ADOBE, start + 2, end):
            adobe = True
    if not size:
        raise Damaged("it has no frame header before its pixels")
    _check_scans(scans)
    orientation = exif.agreed(map(exif.orientations, blocks)) or xmp.orientation(_packet(image, carried))
    return Frame(*size, orientation, components == 4 and not adobe, _load(image, carried), only_scan)


def _packet(image: bytes, carried: list[Segment]) -> bytes:
    """The last XMP packet, as Pillow keeps it; empty where there is none."""
    for marker, start, end in reversed(carried):
        if marker == _APP1 and image.startswith(_XMP, start + 2, end):
            return image[start + 2 : end]
    return b""


def _load(image: bytes, carried: list[Segment]) -> Load:
    """How much of what is carried is a profile, and how much anything else."""
    profile = sum(end - start for marker, start, end in carried if _is_profile(image, marker, start, end))
    return Load(sum(end - start for _, start, end in carried) - profile, profile)


def _is_profile(image: bytes, marker: int, start: int, end: int) -> bool:
    return marker == _APP2 and image.startswith(_ICC, start + 2, end)


def _check_scans(count: int) -> None:
    if not count:
        raise Damaged("it ends before its first scan")
    if count > _MOST_SCANS:
        raise Damaged(f"it has more than {_MOST_SCANS} scans")


def _segments(image: bytes) -> Iterator[Segment]:
    """Every segment with a length: strictly one after the other up to the first scan, as they are found after it."""
    position, filled, scanned = 2, 0, False
    for _ in range(_MOST_SEGMENTS):
        found = MARKER_AFTER_SCAN.search(image, position) if scanned else _MARKER.match(image, position)
        if not found and not scanned:
            raise Damaged(f"there is no JPEG marker at byte {position:,} of {len(image):,}")
        if not found or found[1][0] == _EOI:
            return
        marker, start = found[1][0], found.end()
        filled += 0 if scanned else start - 2 - position
        if filled > _MOST_FILL:
            raise Damaged(f"it has more than {_MOST_FILL:,} fill bytes before its markers")
        if marker in _BARE:
            raise Damaged(f"marker FF {marker:02X} at byte {start - 1:,} does not belong there")
        position = start + _length(image, marker, start)
        if not scanned and position > len(image):
            require(image, position, _name(marker))
        yield marker, start, position
        scanned = scanned or marker == _SOS
    raise Damaged(f"it has more than {_MOST_SEGMENTS:,} segments")


def _length(image: bytes, marker: int, start: int) -> int:
    if start + 2 > len(image):
        require(image, start + 2, _name(marker))
    length = image[start] << 8 | image[start + 1]
    if length < 2:
        raise Damaged(f"{_name(marker)} at byte {start:,} is {length} bytes long")
    return length


def _name(marker: int) -> str:
    return f"JPEG segment FF {marker:02X}"


def _size(image: bytes, marker: int, start: int) -> tuple[int, int]:
    """Width and height of a frame that we serve."""
    if marker in _REFUSED:
        raise not_served(_REFUSED[marker])
    length, precision, height, width, components = fields(_FRAME, image, start, "the JPEG frame header")
    if precision != 8:
        raise not_served(f"a JPEG of {precision} bits a sample, not 8")
    if components not in (1, 3, 4):
        raise Damaged(f"a JPEG has 1, 3 or 4 components; this one has {components}")
    if length != 8 + 3 * components:
        raise Damaged(f"its frame header is {length} bytes long; {components} components need {8 + 3 * components}")
    return width, height
