"""Where a running server takes orders: a Unix socket of its own in the state folder, which the command line knows."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from fovea_server.errors import StartError

_MOST = 100  # servers of one process id, each in a container of its own
_PATIENCE = 1.0  # seconds for one that has many callers in line; it listens
_LONGEST = 107  # bytes of a path that Linux takes (unix(7), sun_path)


def bind(state: Path) -> tuple[Path, socket.socket]:
    """A socket there that only this user can open, which listens. Raises StartError."""
    state.mkdir(parents=True, exist_ok=True)
    with _alone(state):
        path = _free(state)
        path.unlink(missing_ok=True)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            bound.bind(os.fspath(path))
            bound.listen()
        except BaseException:
            bound.close()
            raise
        finally:
            os.umask(before)
    return path, bound


def of_running_servers(state: Path) -> Iterator[Path]:
    """The sockets behind which somebody listens; those that killed servers left behind are removed."""
    for path in sorted(state.glob("control-*.sock")):
        listens = _listens(path)
        if listens is False:
            with _alone(state):
                if _listens(path) is False:
                    path.unlink(missing_ok=True)
        elif listens:
            yield path


def _free(state: Path) -> Path:
    """control-PID.sock, or control-2-PID.sock where a server of another container, in which it has the same process id,
    listens behind that, and so on. Raises StartError."""
    for count in range(1, _MOST + 1):
        path = state / f"control-{f'{count}-' if count > 1 else ''}{os.getpid()}.sock"
        if (length := len(os.fsencode(path))) > _LONGEST:
            raise StartError(
                f"the path of the control socket, {path}, has {length} bytes; Linux takes {_LONGEST}",
                hint="name a state folder with a shorter path: --state",
            )
        if _listens(path) is False:
            return path
    raise StartError(
        f"none of the control sockets {state}/control-*-{os.getpid()}.sock can be made",
        hint="name another state folder: --state",
    )


def _listens(path: Path) -> bool | None:
    """Whether somebody does; None where that cannot be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PATIENCE)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except (TimeoutError, BlockingIOError):  # its line of callers is full
            return True
        except OSError:
            return None
    return True


@contextlib.contextmanager
def _alone(state: Path) -> Iterator[None]:
    """With its sockets: one that is bound and does not listen yet must not be taken for left behind."""
    folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
