"""Images that are kept, each once, under the SHA-256 of its bytes: first in the spool, then in the lake."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fovea_server import drafts

if TYPE_CHECKING:
    from fovea_server.feature_log.lake import Lake, LakeFile

FOLDER = "captures"

_ABANDONED = 3600.0  # seconds after which nobody writes a draft any more
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


def path_of(digest: str) -> str:
    """In the lake."""
    return f"{FOLDER}/{digest[:2]}/{digest}"


def in_lake(lake: Lake) -> list[LakeFile]:
    """Those that we have put there, whatever else lies beside them."""
    return [file for file in lake.below(FOLDER) if _DIGEST.match(file.name) and file.path == path_of(file.name)]


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
        drafts.write(path, image, durable=False)  # the keeper looks whether it is whole
        self._left -= len(image)
        return True


def waiting(spool: Path) -> Iterator[Path]:
    """Those in the spool; each is named by its digest."""
    return (path for path in (spool / FOLDER).glob("*") if _DIGEST.match(path.name))


def forget(digests: Iterable[str], spool: Path) -> None:
    """Also where a gateway was killed as it wrote them."""
    for digest in digests:
        for path in (spool / FOLDER / digest, *(spool / FOLDER).glob(f".{digest}.*.draft")):
            path.unlink(missing_ok=True)


def sweep(spool: Path) -> None:
    """Delete what gateways that were killed have left half written."""
    for path in (spool / FOLDER).glob(".*.draft"):
        if time.time() - _changed(path) > _ABANDONED:
            path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # the keeper has just taken it away


def _changed(path: Path) -> float:
    """In seconds since 1970."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()  # it has just got its name
