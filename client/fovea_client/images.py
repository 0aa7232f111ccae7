"""Where images come from: bytes or a path for a call; files, folders and globs for many."""

from __future__ import annotations

import asyncio
import glob
import os
import stat
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

from fovea_client.errors import BadImage

# What a call takes; a string is a path.
Image = bytes | bytearray | memoryview | str | os.PathLike[str]

MOST_BYTES = 20_000_000

ALWAYS_SERVED = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
SUFFIXES = ALWAYS_SERVED | {".gif", ".tif", ".tiff", ".avif", ".heic", ".heif"}  # the others where a server is told to


def read(image: Image) -> bytes:
    """The encoded bytes, as they will be sent; never decoded here. Raises BadImage for more than a server takes."""
    if isinstance(image, bytes | bytearray | memoryview):
        _check(memoryview(image).nbytes, "the image")
        return bytes(image)
    with Path(image).open("rb") as file:
        _check(os.fstat(file.fileno()).st_size, os.fspath(image))
        return read_stream(file, os.fspath(image))


def read_stream(stream: IO[bytes], name: str) -> bytes:
    """The same of what may never end, under the name that an error gives it."""
    encoded = stream.read(MOST_BYTES + 1)
    if len(encoded) > MOST_BYTES:
        raise _too_large(name, "more")
    return encoded


def _check(count: int, name: str) -> None:
    if count > MOST_BYTES:
        raise _too_large(name, f"{count:,} bytes")


def _too_large(name: str, has: str) -> BadImage:
    return BadImage(f"{name} has {has}; a server takes {MOST_BYTES:,} bytes at most", reason="TOO_MANY_BYTES")


async def read_async(image: Image) -> bytes:
    """The same, without holding up the event loop while the disk turns."""
    return read(image) if isinstance(image, bytes | bytearray | memoryview) else await asyncio.to_thread(read, image)


def find(path: str, suffixes: Collection[str] = SUFFIXES) -> list[str]:
    """The image files that a path means: itself, those of a folder with these suffixes, or a glob's. In a stable order;
    empty where there are none.

    Raises FileNotFoundError where nothing has that name.
    """
    if os.path.lexists(path):
        return _in_folder_or_itself(path, suffixes)
    matches = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - keeps the path as the user wrote it
    if not matches:
        raise FileNotFoundError(f"no such file, folder or glob: {path}")
    # A glob may match a folder and, with **, what is in it too: each image once.
    return list(dict.fromkeys(found for match in matches for found in _in_folder_or_itself(match, suffixes)))


def left_out(folder: str, suffixes: Collection[str] = SUFFIXES) -> Counter[str]:
    """How many files of a folder `find` passes over, by suffix; hidden ones do not count."""
    others = (Path(file).suffix.lower() for file in _files(folder))
    return Counter(suffix for suffix in others if suffix not in suffixes)


def _in_folder_or_itself(path: str, suffixes: Collection[str]) -> list[str]:
    return sorted(_walk(path, suffixes)) if os.path.isdir(path) else [path]  # noqa: PTH112


def _walk(folder: str, suffixes: Collection[str]) -> Iterator[str]:
    images = (file for file in _files(folder) if Path(file).suffix.lower() in suffixes)
    return (file for file in images if not _is_pipe(file))


def _files(folder: str) -> Iterator[str]:
    """Those that are not hidden."""
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(root, name) for name in names if not name.startswith("."))  # noqa: PTH118


def _is_pipe(file: str) -> bool:
    """Reading it might never end."""
    try:
        return stat.S_ISFIFO(os.stat(file).st_mode)  # noqa: PTH116
    except OSError:  # a link to nowhere: whoever opens it is told
        return False
