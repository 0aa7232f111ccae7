"""A few random bytes that are made once and stay: several processes may ask for them first, and get the same."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

from fovea_server import drafts


def read(path: Path, make: Callable[[], bytes]) -> bytes:
    """What is there, or was now made; for the owner's eyes only. OSError where it cannot be kept, or is empty."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        drafts.write_once(path, make(), mode=0o600)
    if not (kept := path.read_bytes()):
        raise OSError(errno.EIO, f"{path.name} is empty, as after a power cut; delete it to have another one made")
    return kept
