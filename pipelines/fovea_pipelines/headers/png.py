"""Read the header of a PNG: its IHDR chunk, and the eXIf chunk wherever it stands."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from struct import Struct

from fovea_pipelines.headers import exif, png_texts
from fovea_pipelines.headers.frame import Frame, Load, fields, not_served, require
from fovea_pipelines.headers.refusals import Damaged

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_MOST_CHUNKS = 5_000  # 40 MB of the 8 KB chunks that libpng writes
_MOST_BESIDE_PIXELS = 1_000  # as many as libpng keeps (PNG_USER_CHUNK_CACHE_MAX); a photograph has a dozen
_MOST_PIXELS_A_SIDE = 2**31 - 1
# libpng unpacks each, up to 8 MB, only to throw it away: 1,000 of them, 7.7 MB, took 49 s.
_MOST_COMPRESSED_TEXTS = 20
_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))
_ANCILLARY = 0x20  # of the first letter of a chunk's type: a reader of pixels may step over it
_ANIMATION = frozenset((b"acTL", b"fcTL", b"fdAT"))
_LONGEST_KEYWORD = 79
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # a pixel, by colour type
_LEAST_STREAM = 4096  # bytes that no picture is too small for
_CHUNK = Struct(">I4s")
_IHDR = Struct(">I4sII")
_CRC = Struct(">I")

Chunk = tuple[bytes, int, int]  # its type, where its data begins, where that ends


def read(image: bytes) -> Frame:
    """The size in IHDR and the orientation in eXIf, or in a text where that says none.

    All chunks are stepped over, because the decoder believes an eXIf behind the pixels as well, and makes room for
    whatever length a chunk claims: 200 bytes can ask it for 4 GiB.
    """
    if not image.startswith(SIGNATURE):
        raise Damaged("its PNG signature is damaged, as by a transfer that changes the ends of lines")
    length, kind, width, height = fields(_IHDR, image, 8, "the PNG chunk IHDR")
    if (length, kind) != (13, b"IHDR"):
        raise Damaged(f"a PNG begins with an IHDR chunk of 13 bytes; this one with {_name(kind)} of {length:,}")
    if max(width, height) > _MOST_PIXELS_A_SIDE:
        raise Damaged(f"{width}x{height} is larger than any PNG can be")
    carried: list[Chunk] = []
    compressed = 0
    for kind, start, end in _chunks(image):
        if kind == b"IDAT":
            compressed += end - start
        elif kind in _ANIMATION:
            raise not_served("an animated PNG")
        elif kind[0] & _ANCILLARY:
            carried.append((kind, start, end))
            if len(carried) > _MOST_BESIDE_PIXELS:
                raise Damaged(f"it has more than {_MOST_BESIDE_PIXELS:,} chunks beside its pixels")
    _check_texts(image, carried)
    _check_pixels(image, width, height, compressed)
    blocks = [chunk for chunk in carried if chunk[0] == b"eXIf"]
    said = exif.agreed(_orientations(image, block) for block in blocks)
    return Frame(width, height, said or png_texts.orientation(_texts(image, carried)), load=_load(carried))


def _texts(image: bytes, carried: list[Chunk]) -> Iterator[png_texts.Text]:
    """Those that may say it, last first."""
    view = memoryview(image)
    for kind, start, end in reversed(carried):
        if kind in _TEXTS and image.startswith(png_texts.KEYWORDS, start, end):
            yield kind, view[start:end]


def _load(carried: list[Chunk]) -> Load:
    profile = sum(end - start for kind, start, end in carried if kind == b"iCCP")
    return Load(sum(end - start for _, start, end in carried) - profile, profile)


def _orientations(image: bytes, block: Chunk) -> frozenset[int]:
    _, start, end = block
    said = exif.orientations(memoryview(image)[start:end])
    # Of the decoder's two readers one drops a block with a wrong checksum.
    return said if _is_intact(image, start, end) else said | {1}


def _check_texts(image: bytes, carried: list[Chunk]) -> None:
    compressed = sum(_is_compressed_text(image, *chunk) for chunk in carried if chunk[0] in _TEXTS)
    if compressed > _MOST_COMPRESSED_TEXTS:
        raise Damaged(
            f"it has {compressed:,} compressed texts, which take long to unpack; at most {_MOST_COMPRESSED_TEXTS}"
        )


def _is_compressed_text(image: bytes, kind: bytes, start: int, end: int) -> bool:
    """A zTXt, or an iTXt whose flag behind its keyword says so (PNG, 11.3.3)."""
    if kind != b"iTXt":
        return kind == b"zTXt"
    keyword = image.find(b"\0", start, min(start + _LONGEST_KEYWORD + 1, end))
    return image[keyword + 1 : keyword + 2] != b"\0"


def _check_pixels(image: bytes, width: int, height: int, compressed: int) -> None:
    """Refuse more compressed pixels than the worst compressor makes of so many: they unpack to a thousand times more.

    1 MB behind the header of a small picture keeps the decoder busy for 2 s.
    """
    most = unpacked(image, width, height) * 5 // 4 + _LEAST_STREAM  # a byte may take nine bits, and a block its header
    if compressed > most:
        raise Damaged(f"its pixels are {compressed:,} bytes, compressed; {width}x{height} take at most {most:,}")


def unpacked(image: bytes, width: int, height: int) -> int:
    """How many bytes the pixels of a picture of this size unpack to at most: interlacing doubles the shortest rows."""
    bits, colour = image[24], image[25]
    return 2 * height * (1 + (width * bits * _SAMPLES.get(colour, 4) + 7) // 8)


def pixels(image: bytes) -> Iterator[memoryview]:
    """The compressed pixels, chunk by chunk. Raises Damaged."""
    view = memoryview(image)
    return (view[start:end] for kind, start, end in _chunks(image) if kind == b"IDAT")


def _chunks(image: bytes) -> Iterator[Chunk]:
    """Each chunk before IEND."""
    position, ends = 8, len(image)
    for _ in range(_MOST_CHUNKS):
        start = position + 8
        if start > ends:
            require(image, start, "the next PNG chunk")
        length, kind = _CHUNK.unpack_from(image, position)
        position = start + length + 4
        if position > ends:
            require(image, position, f"the PNG chunk {_name(kind)}")
        if kind == b"IEND":
            return
        yield kind, start, position - 4
    raise Damaged(f"it has more than {_MOST_CHUNKS:,} chunks")


def _is_intact(image: bytes, start: int, end: int) -> bool:
    """Whether the checksum after the data is that of the chunk's type and data."""
    (checksum,) = _CRC.unpack_from(image, end)
    return zlib.crc32(memoryview(image)[start - 4 : end]) == int(checksum)


def _name(kind: bytes) -> str:
    return kind.decode() if kind.isalpha() else kind.hex(" ")
