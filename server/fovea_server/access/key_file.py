"""The file in the state folder that the keys are kept in: for its owner alone, whole at every moment."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fovea_server import drafts
from fovea_server.access.keys import Key

_VERSION = 1


class BadKeyFile(Exception):
    """The file is there and is not one of ours, or cannot be read. The message names it."""


class KeyFile:
    """The keys of one state folder, revoked ones included. Any number of processes may read while one writes."""

    def __init__(self, state: Path) -> None:
        self.path = state / "keys.json"

    def signature(self) -> tuple[int, int, int] | None:
        """What changes when the file does, for the price of a stat(2); None where there is no file.

        Of one that cannot be looked at it is the reason: `read` says what that means.
        """
        try:
            said = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            return -1, -1, error.errno or -1
        return said.st_ino, said.st_mtime_ns, said.st_size

    def read(self) -> dict[str, Key]:
        """All keys by their public id; none where there is no file. Raises BadKeyFile."""
        try:
            document = json.loads(self.path.read_bytes())
            if document["version"] != _VERSION:
                raise BadKeyFile(f"{self.path} has version {document['version']!r}; this program knows {_VERSION}")
            return {said["id"]: _key(said) for said in document["keys"]}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise BadKeyFile(f"{self.path} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, KeyError) as error:
            raise BadKeyFile(f"{self.path} holds no keys of ours: {error!r}") from None

    @contextmanager
    def changed(self) -> Iterator[dict[str, Key]]:
        """The keys, to be changed in place; written when the block ends well, one writer at a time."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # The lock is a file of its own: the keys' file is replaced, and a lock on it would go with it. Whoever can open
        # it could hold it, and keep a key from being revoked.
        with open(self.path.with_suffix(".lock"), "w", opener=_for_the_owner) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = self.read()
            yield keys
            self._write(keys)

    def _write(self, keys: Mapping[str, Key]) -> None:
        document = {"version": _VERSION, "keys": [_said(key) for key in keys.values()]}
        drafts.write(self.path, json.dumps(document, indent=1).encode(), mode=0o600)


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _said(key: Key) -> dict[str, Any]:
    return {**dataclasses.asdict(key), "scopes": sorted(key.scopes)}


def _key(said: dict[str, Any]) -> Key:
    return Key(**{**said, "scopes": frozenset(said["scopes"])})
