"""Entry point of the console script: light, so that Ctrl-C while the commands are imported ends in no traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

_LOST = (errno.ENOSPC, errno.EIO)  # what writing says of a full disk, a broken one, a terminal that hung up
_INTERRUPTED = 130  # as shells have it: 128 and the number of SIGINT


def main() -> None:
    """Run the command that the process was started with."""
    try:
        from fovea_server.cli.main import app

        app()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except ModuleNotFoundError as error:
        if (error.name or "fovea").startswith("fovea"):
            raise
        from fovea_server.cli import terminal

        terminal.say_error(f"the Python package {error.name} is not installed", terminal.SERVING_HINT)
        sys.exit(1)
    except OSError as error:
        if error.errno not in _LOST or error.filename is not None or not _is_stdout_lost():
            raise
        from fovea_server.cli import terminal

        with contextlib.suppress(OSError):  # stderr may be the same terminal
            terminal.say_error(f"stdout cannot be written: {error.strerror}", "what was to be printed is lost")
        sys.exit(1)


def _is_stdout_lost() -> bool:
    """Whether it takes no line more. What it holds back is dropped then, or the interpreter would fail on it."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False
