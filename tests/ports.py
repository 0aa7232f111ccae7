"""Ports for servers of tests, of which several are started side by side, by workers that know nothing of each other."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Iterator

_FIRST, _EACH = 10_000, 2_000  # below those that the kernel gives to callers, from 32,768 up
_WORKERS = 10


def _of_this_worker() -> Iterator[int]:
    """Again from the first after the last; those of another worker never."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    return itertools.cycle(range(_FIRST + worker * _EACH, _FIRST + (worker + 1) * _EACH))


_ports = _of_this_worker()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, and that nobody is given for a while: a server may take seconds to open its last."""
    return list(itertools.islice(filter(_is_free, _ports), count))


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket() as bound:
        bound.bind(("127.0.0.1", port))
        return True
    return False
