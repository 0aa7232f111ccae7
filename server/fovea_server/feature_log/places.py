"""Where a feature log lies: a lake of Parquet files, on any file system pyarrow opens, and a spool on this machine."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from fovea_server.errors import StartError
from fovea_server.feature_log import kept_once

_URL = re.compile(r"[a-z][a-z0-9+]+://")
_USER = re.compile(r"://[^\s'\"]*@")  # a secret with a slash in it, which no URL may have, too
_SECRET = re.compile(r"([?&]\w*(?:key|password|secret|token)\w*=)[^&\s'\"]*", re.IGNORECASE)


@dataclass(frozen=True)
class Places:
    """`lake` is a folder or URL; `spool` holds what is not yet in it, and the locks; `state` the salt of the hashes."""

    lake: str
    spool: Path
    state: Path

    @classmethod
    def of(cls, location: str, state: Path) -> Places:
        """A folder holds its spool itself; the spool of a URL is in the state folder. Raises StartError."""
        if location.startswith("file://"):
            location = location.removeprefix("file://")
        if not location.strip():
            raise StartError("--feature-log names no folder", hint="name a folder, or a URL such as s3://bucket/log")
        if _URL.match(location):
            name = hashlib.sha256(location.encode()).hexdigest()[:12]
            return cls(location, state / "feature_log" / name, state)
        folder = Path(location).resolve()
        return cls(str(folder), folder / "spool", state)

    def origin(self) -> str:
        """A name for what this spool's machine writes into the lake, among others; made once."""
        return kept_once.read(self.spool / "origin", lambda: secrets.token_hex(4).encode()).decode()

    @property
    def shown(self) -> str:
        """The lake, for people."""
        return without_secrets(self.lake)

    @property
    def segments(self) -> Path:
        return self.spool / "segments"


def without_secrets(text: str) -> str:
    """A message about a URL, without the keys and passwords that the URL has in it."""
    return _SECRET.sub(r"\1...", _USER.sub("://...@", text))
