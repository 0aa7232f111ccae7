"""Who asked, as the log knows them: a keyed hash (HMAC-SHA-256, RFC 2104), which says nothing without the salt."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from functools import lru_cache
from pathlib import Path

_BYTES = 32


class Pseudonyms:
    """Names to hashes; the salt lies in the state folder, for its owner's eyes only, and is made once."""

    def __init__(self, state: Path) -> None:
        self._salt = _salt(state / "feature_log.salt")
        self.of = lru_cache(maxsize=4096)(self._of)

    def _of(self, name: str) -> str:
        """32 hexadecimal digits; "" for nobody in particular."""
        return hmac.new(self._salt, name.encode(), hashlib.sha256).hexdigest()[:32] if name else ""


def _salt(path: Path) -> bytes:
    """Several processes may ask for it first; one of them makes it."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_bytes(secrets.token_bytes(_BYTES))
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_bytes()
