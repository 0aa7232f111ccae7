"""Which version of a model is in service, and which was before: a file in the state folder that outlives servers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from fovea_server import drafts
from fovea_server.errors import StartError

_FILE = "versions.json"  # {NAME: [in service, the one before]}; a model of one version is not in it


@dataclass(frozen=True)
class Versions:
    """Of the models that have had more than one version. It is read anew each time: the command line writes it."""

    path: Path

    @classmethod
    def of(cls, state: Path) -> Versions:
        return cls(state / _FILE)

    def current(self, name: str) -> str | None:
        """The version in service; None where there was never another than the first."""
        return next(iter(self._read().get(name, [])), None)

    def previous(self, name: str) -> str | None:
        """The version to roll back to."""
        return next(iter(self._read().get(name, [])[1:]), None)

    def take_over(self, name: str, version: str, previous: str) -> None:
        """From now on, and after every start."""
        self._write({**self._read(), name: [version, previous]})

    def forget(self, name: str) -> None:
        """All that is known of a model that is removed."""
        self._write({known: versions for known, versions in self._read().items() if known != name})

    def _read(self) -> dict[str, list[str]]:
        try:
            read = json.loads(self.path.read_text(encoding="utf-8"))
            if not _says_versions(read):
                raise ValueError("it is no mapping of names to lists of versions")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise StartError(
                f"{self.path} cannot be read: {error}", hint="remove it; first versions then serve"
            ) from error
        return cast("dict[str, list[str]]", read)

    def _write(self, versions: dict[str, list[str]]) -> None:
        """In one step: who reads meanwhile sees the old file or the new one."""
        drafts.write(self.path, (json.dumps(versions, indent=1) + "\n").encode())


def _says_versions(read: object) -> bool:
    return isinstance(read, dict) and all(
        isinstance(versions, list) and all(isinstance(version, str) for version in versions)
        for versions in read.values()
    )
