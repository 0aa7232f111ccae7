"""Let this process have as many connections as it was told: each is an open file."""

from __future__ import annotations

import resource

from fovea_server.logs import get_logger

_log = get_logger("edge")
_FACES = 2  # each may have that many
_OTHERS = 2048  # Triton's, at most 960; 512 that are only told why they are turned away; handshakes, files


def allow(connections: int) -> int:
    """Raise the limit of open files where need be (getrlimit(2)); how many connections it leaves each face room for."""
    wanted = _FACES * connections + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    least = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if least > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, hard))
    if least < wanted:
        room = max(least - _OTHERS, least // 2) // _FACES
        _log.warning("fewer connections than wanted: open files are limited", wanted=connections, allowed=room)
        return room
    return connections
