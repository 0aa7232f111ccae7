"""Where what is added at run time is kept: models, keys, experiments, what is in quarantine."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

from fovea_server.errors import StartError
from fovea_server.logs import get_logger

_log = get_logger("state_folder")


def check(folder: Path) -> None:
    """Make it and write there. Raises StartError; a full disk is only logged, since answers need no room on it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as trial:
            trial.write(b"x")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise StartError(
                f"the state folder {folder} cannot be written: {error.strerror}", hint="name another one with --state"
            ) from error
        _log.warning("the disk is full: models, keys and experiments cannot be changed", folder=str(folder))
