"""Where images come from: bytes or a path for a call; files, folders and globs for many."""

from __future__ import annotations

import asyncio
import glob
import os
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

# What a call takes; a string is a path.
Image = bytes | bytearray | memoryview | str | os.PathLike[str]

ALWAYS_SERVED = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
SUFFIXES = ALWAYS_SERVED | {".gif", ".tif", ".tiff", ".avif", ".heic", ".heif"}  # the others where a server is told to


def read(image: Image) -> bytes:
    """The encoded bytes, as they will be sent; never decoded here."""
    return bytes(image) if isinstance(image, bytes | bytearray | memoryview) else Path(image).read_bytes()


async def read_async(image: Image) -> bytes:
    """The same, without holding up the event loop while the disk turns."""
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    return await asyncio.to_thread(read, image)


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


def left_out(folder: str) -> Counter[str]:
    """How many files of a folder `find` passes over, by suffix; hidden ones do not count."""
    names = (Path(file) for file in _files(folder))
    suffixes = (name.suffix.lower() for name in names if not name.name.startswith("."))
    return Counter(suffix for suffix in suffixes if suffix not in SUFFIXES)


def _in_folder_or_itself(path: str, suffixes: Collection[str]) -> list[str]:
    return sorted(_walk(path, suffixes)) if os.path.isdir(path) else [path]  # noqa: PTH112


def _walk(folder: str, suffixes: Collection[str]) -> Iterator[str]:
    return (file for file in _files(folder) if Path(file).suffix.lower() in suffixes)


def _files(folder: str) -> Iterator[str]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(root, name) for name in names)  # noqa: PTH118
