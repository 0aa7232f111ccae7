"""Whether a feature log can be kept where somebody wants it: found out before anything is answered."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path

from fovea_server.errors import StartError
from fovea_server.feature_log.callers import Pseudonyms
from fovea_server.feature_log.places import Places

_NEEDED = ("duckdb", "pandera", "pyarrow")


def places(location: str, state: Path) -> Places:
    """Where it lies. Raises StartError where something is not installed, or cannot be opened or written."""
    need_extra()
    found = Places.of(location, state)
    _check_lake(found)
    try:
        found.segments.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=found.segments):
            pass
    except OSError as error:
        raise StartError(
            f"the feature log's folder {found.spool} cannot be written: {error.strerror}",
            hint="name another one with --feature-log",
        ) from error
    try:
        Pseudonyms(state)
    except OSError as error:
        raise StartError(
            f"the feature log's salt cannot be kept in {state}: {error.strerror}",
            hint="make room there, or name another folder with --state",
        ) from error
    return found


def need_extra() -> None:
    """Raise StartError where what reads and compacts a log is not installed."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise StartError(
            f"the feature log needs the Python package {missing[0]}, which is not installed",
            hint="pip install 'fovea-server[log]', or leave --feature-log out",
        )


def _check_lake(where: Places) -> None:
    from fovea_server.feature_log.lake import Lake

    try:
        Lake.open(where.lake)
    except (OSError, ValueError) as error:
        raise StartError(
            f"the feature log cannot be opened at {where.shown}: {str(error)[:200]}",
            hint="name a folder, or a URL that pyarrow opens: s3://, gs://, abfs://, hdfs://",
        ) from error
