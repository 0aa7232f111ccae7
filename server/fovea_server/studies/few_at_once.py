"""Readouts a few at a time: each joins the whole log, beside those who answer images."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fovea_server.errors import Busy

Read = TypeVar("Read")

_AT_ONCE = 2  # in threads
_WAITING = 8  # others that may


class FewAtOnce:
    """Threads of their own. Who goes away while it waits is forgotten; what has begun keeps its thread to its end."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_ONCE, "readouts")
        self._asked = 0

    async def read(self, read: Callable[[], Read]) -> Read:
        """What `read` gives, or raises. Raises Busy where too many wait already."""
        if self._asked >= _AT_ONCE + _WAITING:
            raise Busy(f"{_AT_ONCE} readouts are being made and {_WAITING} wait already", retry_after=5.0)
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, read)
        finally:
            self._asked -= 1
