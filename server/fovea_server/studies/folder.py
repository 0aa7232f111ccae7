"""Experiments declared in files: each `*.toml` of a folder is a draft, and follows the file until it is started."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from fovea_pipelines import toml
from fovea_server.errors import BadExperiment, ExperimentRefused, ExperimentsUnavailable, UnknownExperiment
from fovea_server.logs import get_logger
from fovea_server.studies.declaration import Experiment
from fovea_server.studies.store import DRAFT, Change, Store

_log = get_logger("experiments")

_MOST_BYTES = 100_000  # of a declaration, of which some hundreds are usual: megabytes of TOML would be read for seconds
_UNSEEN = -1  # of a file that cannot even be looked at, such as a link to itself


def read_toml(path: Path) -> dict[str, Any]:
    """Raises BadExperiment for what is no TOML."""
    try:
        return toml.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # of numbers too long and of lists too deep, too
        raise BadExperiment(f"{path.name}: it cannot be read: {error}") from error


class Folder:
    """A file that is wrong, or that would change an experiment which runs, changes nothing; the log says why, once."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder = folder
        self._store = store
        self._seen: dict[Path, int] = {}  # when each was changed, in nanoseconds

    @property
    def has_any(self) -> bool:
        return next(self._folder.glob("*.toml"), None) is not None

    def read_changed(self) -> None:
        """Raises ExperimentsUnavailable; what could not be kept is tried again next time."""
        for path in sorted(self._folder.glob("*.toml")):
            try:
                changed = path.stat().st_mtime_ns
            except FileNotFoundError:
                continue
            except OSError:
                changed = _UNSEEN
            if self._seen.get(path) == changed:
                continue
            try:
                self._keep(path)
            except ExperimentsUnavailable:
                raise
            except (BadExperiment, ExperimentRefused) as error:
                _log.warning("an experiment's file changes nothing", file=path.name, reason=str(error))
            except Exception:  # whatever it is: the other files, and all that runs, have nothing to do with it
                _log.exception("an experiment's file changes nothing", file=path.name)
            self._seen[path] = changed

    def _keep(self, path: Path) -> None:
        _check_readable(path)
        experiment = Experiment.read(read_toml(path))
        try:
            kept = self._store.get(experiment.name)
        except UnknownExperiment:
            kept = None
        if kept and kept.experiment == experiment:
            return
        change = Change(path.name, "the file was changed")
        if kept and kept.state != DRAFT:
            self._store.note(experiment.name, f"refused to change what is {kept.state}", change)
        self._store.create(experiment, change)
        _log.info("an experiment's file was read", file=path.name, experiment=experiment.name)


def _check_readable(path: Path) -> None:
    """Raise BadExperiment for what would keep the reader: a pipe that nobody writes to, or very many bytes."""
    try:
        found = path.stat()
    except OSError as error:
        raise BadExperiment(f"{path.name}: it cannot be read: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise BadExperiment(f"{path.name}: it is no file")
    if found.st_size > _MOST_BYTES:
        raise BadExperiment(f"{path.name}: it has {found.st_size:,} bytes; at most {_MOST_BYTES:,}")
