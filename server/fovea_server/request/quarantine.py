"""Images that ended the process that worked on them, twice: refused by their SHA-256, and kept for whoever looks."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fovea_server import drafts
from fovea_server.errors import Quarantined
from fovea_server.logs import get_logger

FOLDER = "quarantine"  # in the state folder

_log = get_logger("quarantine")
_LOOK = 1.0  # seconds between looks at the folder, which `fovea quarantine clear` and other servers change


@dataclass(frozen=True)
class QuarantineSettings:
    """What is kept at most; the oldest makes room, and is then answered again."""

    max_images: int = 256
    max_bytes: int = 512_000_000


@dataclass(frozen=True)
class Kept:
    """What is known of an image in quarantine; `since` is ISO 8601, UTC."""

    digest: str
    bytes: int
    since: str
    models: tuple[str, ...]
    request_id: str


def digest_of(image: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(image).hexdigest()


class Quarantine:
    """The folder is the truth: DIGEST.image as it was sent and DIGEST.json beside it, for this user alone."""

    def __init__(self, folder: Path, settings: QuarantineSettings | None = None) -> None:
        self._folder = folder
        self._settings = settings or QuarantineSettings()
        self._kept: dict[str, Kept] = {}
        self._sizes: frozenset[int] = frozenset()
        self._unsaved: dict[str, Kept] = {}  # the folder could not be written: refused as long as this server runs
        self._looked, self._changed = float("-inf"), -1
        self.look()

    def check(self, digest: str) -> None:
        """Raise Quarantined for an image that is kept here."""
        if kept := self._kept.get(digest):
            raise Quarantined(f"it ended the process that worked on it, twice (sha256 {digest}, since {kept.since})")

    def might_hold(self, size: int) -> bool:
        """Whether an image of so many bytes is kept: only then is it worth being hashed."""
        if time.monotonic() - self._looked > _LOOK:
            self.look()
        return size in self._sizes

    def all(self) -> list[Kept]:
        """The oldest first."""
        return sorted(self._kept.values(), key=lambda kept: kept.since)

    def path(self, digest: str) -> Path:
        """Where the image is kept."""
        return self._folder / f"{digest}.image"

    def look(self) -> None:
        """Read the folder, if it changed."""
        self._looked = time.monotonic()
        try:
            changed = self._folder.stat().st_mtime_ns
        except OSError:
            changed = -1
        if changed != self._changed:
            self._changed = changed
            found = {kept.digest: kept for kept in map(_read, self._folder.glob("*.json")) if kept}
            self._hold({**self._unsaved, **found})

    def keep(self, image: bytes, digest: str, models: tuple[str, ...], request_id: str) -> Kept:
        """Refuse the image from now on, and save it. A folder that cannot be written is logged, not raised."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        kept = Kept(digest, len(image), now, models, request_id)
        self._unsaved[digest] = kept
        self._hold({**self._kept, digest: kept})
        _log.error("an image is quarantined", digest=digest, bytes=len(image), models=models, request_id=request_id)
        try:
            self._save(kept, image)
        except OSError as error:
            _log.error("the quarantine cannot be written", folder=str(self._folder), reason=str(error))
            return kept
        del self._unsaved[digest]
        self._make_room()
        return kept

    def refuse(self, kept: Kept) -> None:
        """From now on, as another process of this server does that keeps it, or could not."""
        self.look()
        if kept.digest not in self._kept:
            self._unsaved[kept.digest] = kept
            self._hold({**self._kept, kept.digest: kept})

    def clear(self, digest: str) -> None:
        """Forget an image, so that it is answered again."""
        self._hold({name: kept for name, kept in self._kept.items() if name != digest})
        for name in (self._description(digest), self.path(digest)):
            name.unlink(missing_ok=True)

    def _save(self, kept: Kept, image: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(self.path(kept.digest), image)
        try:
            _write(self._description(kept.digest), json.dumps(dataclasses.asdict(kept)).encode())
        except OSError:  # nothing would ever remove an image that nothing describes
            self.path(kept.digest).unlink(missing_ok=True)
            raise

    def _make_room(self) -> None:
        oldest_first, settings = self.all(), self._settings
        total = sum(kept.bytes for kept in oldest_first)
        while len(oldest_first) > 1 and (len(oldest_first) > settings.max_images or total > settings.max_bytes):
            dropped = oldest_first.pop(0)
            total -= dropped.bytes
            _log.warning("an image leaves the quarantine to make room", digest=dropped.digest)
            self.clear(dropped.digest)

    def _description(self, digest: str) -> Path:
        return self._folder / f"{digest}.json"

    def _hold(self, kept: dict[str, Kept]) -> None:
        self._kept, self._sizes = kept, frozenset(each.bytes for each in kept.values())


def _read(path: Path) -> Kept | None:
    """What a description says; None where it is gone again, or is none."""
    try:
        said: dict[str, Any] = json.loads(path.read_bytes())
        return Kept(path.stem, int(said["bytes"]), str(said["since"]), tuple(said["models"]), str(said["request_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, content: bytes) -> None:
    """For this user alone; while callers wait, so nobody waits for the disk."""
    drafts.write(path, content, mode=0o600, durable=False)
