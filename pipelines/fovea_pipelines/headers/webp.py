"""Read the header of a WebP: lossy, lossless or extended."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from struct import Struct

from fovea_pipelines.headers import exif, xmp
from fovea_pipelines.headers.frame import Frame, Load, fields, not_served, require
from fovea_pipelines.headers.refusals import Damaged

_MOST_CHUNKS = 1000
_ANIMATED, _HAS_XMP, _HAS_EXIF, _RESERVED = 0x02, 0x04, 0x08, 0xC1
_FOURTEEN_BITS = 0x3FFF
_PREFIX = b"Exif\0\0"  # as in a JPEG; some writers put it here too
_PIXELS = frozenset((b"VP8X", b"ALPH", b"VP8 ", b"VP8L"))
_RIFF = Struct("<4sI4s")
_CHUNK = Struct("<4sI")
_SIZE = Struct("<I")  # of a chunk, without the byte that makes it even
_SOUND = re.compile(rb"VP8X(?:ICCP)?(?:EXIF|XMP )*(?:VP8L|(?:ALPH)?VP8 )(?:EXIF|XMP )*")
_LOSSY = Struct("<3s3sHH")  # frame tag, sync code, width, height
_LOSSLESS = Struct("<BI")  # signature; 14 bits of width - 1, 14 bits of height - 1
_EXTENDED = Struct("<B3xHBHB")  # flags, 24 bits of width - 1, 24 bits of height - 1


def read(image: bytes) -> Frame:
    """The size of the canvas, and the orientation in the EXIF or the XMP chunk of an extended file."""
    _, riff_size, _ = fields(_RIFF, image, 0, "the WebP container")
    require(image, 8 + riff_size, "the WebP container")
    kind, size = fields(_CHUNK, image, 12, "the first WebP chunk")
    if kind == b"VP8 ":
        return _lossy(image)
    if kind == b"VP8L":
        return _lossless(image)
    if kind == b"VP8X":
        return _extended(image, size, 8 + riff_size)
    raise Damaged(f"a WebP begins with VP8, VP8L or VP8X; this one with the bytes {kind.hex(' ')}")


def evened(image: bytes) -> bytes:
    """A WebP that was read, without chunks of odd length before its EXIF: the byte that pads one becomes its last.

    nvImageCodec 0.9 forgets that byte, and finds no EXIF, or one that nobody else sees. libwebp steps over what lies
    behind the data of a chunk.
    """
    if image[12:16] != b"VP8X" or not image[20] & _HAS_EXIF:
        return image
    odd: list[tuple[int, int]] = []
    for kind, start, size in _chunks(image, 8 + fields(_RIFF, image, 0, "the WebP container")[1]):
        if kind == b"EXIF":
            break
        if size % 2:
            odd.append((start - _SIZE.size, size + 1))
    if not odd:
        return image
    rest, position, pieces = memoryview(image), 0, list[bytes | memoryview]()
    for place, size in odd:
        pieces += rest[position:place], _SIZE.pack(size)
        position = place + _SIZE.size
    return b"".join((*pieces, rest[position:]))


def _lossy(image: bytes) -> Frame:
    tag, sync, width, height = fields(_LOSSY, image, 20, "the WebP chunk VP8")
    if tag[0] & 1 or sync != b"\x9d\x01\x2a":
        raise Damaged("its VP8 chunk does not begin with a key frame")
    return Frame(width & _FOURTEEN_BITS, height & _FOURTEEN_BITS)


def _lossless(image: bytes) -> Frame:
    signature, sizes = fields(_LOSSLESS, image, 20, "the WebP chunk VP8L")
    if signature != 0x2F:
        raise Damaged(f"its VP8L chunk begins with {signature:02x}, not 2f")
    return Frame((sizes & _FOURTEEN_BITS) + 1, (sizes >> 14 & _FOURTEEN_BITS) + 1)


def _extended(image: bytes, size: int, end: int) -> Frame:
    if size < _EXTENDED.size:
        raise Damaged(f"its VP8X chunk has {size} bytes; {_EXTENDED.size} are needed")
    flags, width, width_high, height, height_high = fields(_EXTENDED, image, 20, "the WebP chunk VP8X")
    if flags & _ANIMATED:
        raise not_served("an animated WebP")
    if flags & _HAS_EXIF and flags & _RESERVED:
        # libwebp shows the pixels of such a file, but not its EXIF.
        raise Damaged(f"its VP8X flags are {flags:02x}, of which {flags & _RESERVED:02x} are reserved")
    orientation = exif.UPRIGHT
    if flags & _HAS_EXIF:
        orientation = _orientation(image, end, has_xmp=bool(flags & _HAS_XMP))
    elif flags & _HAS_XMP:
        orientation = _orientation_of_xmp(image, end)
    return Frame((width_high << 16 | width) + 1, (height_high << 16 | height) + 1, orientation, load=_load(image, end))


def _load(image: bytes, end: int) -> Load:
    """What stands beside the pixels, as far as the chunks can be followed: who reads pixels need not follow all."""
    metadata = profile = 0
    with contextlib.suppress(Damaged):
        for kind, _, size in _chunks(image, end):
            if kind == b"ICCP":
                profile += size
            elif kind not in _PIXELS:
                metadata += size
    return Load(metadata, profile)


def _orientation(image: bytes, end: int, *, has_xmp: bool) -> int:
    """What the EXIF says, else an XMP packet that the header promises, if every reader finds it; libwebp looks for them
    in sound containers only."""
    kinds = b""
    readings: list[frozenset[int]] = []
    packet = b""
    for kind, start, size in _chunks(image, end):
        if kind == b"EXIF":
            block = memoryview(image)[start : start + size]
            readings.append(exif.orientations(block[len(_PREFIX) :] if block[: len(_PREFIX)] == _PREFIX else block))
        elif kind == b"XMP " and has_xmp and not packet:
            packet = image[start : start + min(size, xmp.MOST)]
        kinds += kind
    if not readings:
        raise Damaged("its header promises EXIF, but it has none")
    is_sound = _SOUND.fullmatch(kinds) is not None
    orientation = exif.agreed(readings)
    if orientation > 1 and not is_sound:
        raise Damaged(f"its EXIF says orientation {orientation}, but its chunks are not in order")
    return orientation or (xmp.orientation(packet) if is_sound else exif.UPRIGHT)


def _orientation_of_xmp(image: bytes, end: int) -> int:
    """Of a file without EXIF. What cannot be followed to its end says nothing to libwebp."""
    try:
        chunks = list(_chunks(image, end))
    except Damaged:
        return exif.UPRIGHT
    packets = (image[start : start + min(size, xmp.MOST)] for kind, start, size in chunks if kind == b"XMP ")
    is_sound = _SOUND.fullmatch(b"".join(kind for kind, _, _ in chunks)) is not None
    return xmp.orientation(next(packets, b"")) if is_sound else exif.UPRIGHT


def _chunks(image: bytes, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, begin and size of the data of each chunk of the container."""
    position = 12
    for _ in range(_MOST_CHUNKS):
        if position == end:
            return
        if position + _CHUNK.size > end:
            raise Damaged(f"its last WebP chunk, at byte {position:,}, has {end - position} bytes")
        kind, size = _CHUNK.unpack_from(image, position)
        start = position + _CHUNK.size
        position = start + size + size % 2
        if position > end:
            raise Damaged(f"a WebP chunk at byte {start - 8:,} claims {size:,} bytes; {end - start:,} are left")
        yield kind, start, size
    raise Damaged(f"it has more than {_MOST_CHUNKS:,} chunks")
