"""Who asked, as the log knows them: a keyed hash (HMAC-SHA-256, RFC 2104), which says nothing without the salt."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from functools import lru_cache
from pathlib import Path

from fovea_server.feature_log import kept_once

_BYTES = 32
_SALT = "feature_log.salt"


def have_salt(state: Path) -> bool:
    """Whether a server with this state folder has ever kept a log: without its salt nobody is found again."""
    return (state / _SALT).is_file()


class Pseudonyms:
    """Names to hashes; the salt lies in the state folder, for its owner's eyes only, and is made once."""

    def __init__(self, state: Path) -> None:
        self._salt = kept_once.read(state / _SALT, lambda: secrets.token_bytes(_BYTES))
        self.of = lru_cache(maxsize=4096)(self._of)

    def _of(self, name: str) -> str:
        """32 hexadecimal digits; "" for nobody in particular."""
        return hmac.new(self._salt, name.encode(), hashlib.sha256).hexdigest()[:32] if name else ""
