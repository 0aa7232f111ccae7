"""Where a running server takes orders: a Unix socket of its own in the state folder, which the command line knows."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from fovea_server.errors import StartError

_LONGEST = 107  # bytes of a path that Linux takes (unix(7), sun_path)


def of_this_process(state: Path) -> Path:
    return state / f"control-{os.getpid()}.sock"


def bind(path: Path) -> socket.socket:
    """A socket there that only this user can open. Raises StartError."""
    if (length := len(os.fsencode(path))) > _LONGEST:
        raise StartError(
            f"the path of the control socket, {path}, has {length} bytes; Linux takes {_LONGEST}",
            hint="name a state folder with a shorter path: --state",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        bound.bind(os.fspath(path))
        bound.listen()  # at once: whoever looks meanwhile must not take it for one that was left behind
    finally:
        os.umask(before)
    return bound


def of_running_servers(state: Path) -> Iterator[Path]:
    """The sockets behind which somebody listens; those that killed servers left behind are removed."""
    for path in sorted(state.glob("control-*.sock")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(os.fspath(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
                continue
            except OSError:
                continue
        yield path
