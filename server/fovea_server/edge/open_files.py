"""Let this process have as many connections as it was told: each is an open file."""

from __future__ import annotations

import resource

from fovea_server.logs import get_logger

_log = get_logger("edge")
_OTHERS = 1024  # of gRPC, of Triton, of what is being read


def allow(connections: int) -> int:
    """Raise the limit of open files where need be (getrlimit(2)); how many connections it leaves room for."""
    wanted = connections + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    least = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if least > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, hard))
    if least < wanted:
        room = max(least - _OTHERS, least // 2)
        _log.warning("fewer connections than wanted: open files are limited", wanted=connections, allowed=room)
        return room
    return connections
