"""Entry point of the console script: light, so that Ctrl-C while the commands are imported ends in no traceback."""

from __future__ import annotations

import sys

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
