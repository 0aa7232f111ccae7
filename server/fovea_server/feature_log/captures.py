"""Images that are kept, each once, under the SHA-256 of its bytes: first in the spool, then in the lake."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

FOLDER = "captures"


def path_of(digest: str) -> str:
    """In the lake."""
    return f"{FOLDER}/{digest[:2]}/{digest}"


class Spooled:
    """Those that wait for the keeper; beyond `most_bytes` no more are taken."""

    def __init__(self, spool: Path, most_bytes: int) -> None:
        self._spool = spool
        self._folder = spool / FOLDER
        self._most_bytes = most_bytes
        self._left = 0

    def keep(self, digest: str, image: bytes) -> bool:
        """Whether it is there now. OSError where the disk takes no more."""
        path = self._folder / digest
        if path.exists():
            return True
        if self._left < len(image):
            self._left = self._most_bytes - sum(_size(each) for each in waiting(self._spool))
            if self._left < len(image):
                return False
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{digest}"
        try:
            draft.write_bytes(image)
            draft.rename(path)
        finally:
            draft.unlink(missing_ok=True)
        self._left -= len(image)
        return True


def waiting(spool: Path) -> Iterator[Path]:
    """Those in the spool; each is named by its digest."""
    return (spool / FOLDER).glob("[0-9a-f]*")


def forget(digests: Iterable[str], spool: Path) -> None:
    for digest in digests:
        (spool / FOLDER / digest).unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # the keeper has just taken it away
