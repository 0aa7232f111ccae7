"""Waiting for what a server, a process or a task does in its own time, and no longer than it may take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def until(is_so: Callable[[], _T], seconds: float, every: float = 0.1) -> _T:
    """What it returned, once that was true."""
    ends = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < ends, f"not within {seconds:g} s"
        time.sleep(every)
    return found


async def eventually(is_so: Callable[[], object], seconds: float, every: float = 0.01) -> None:
    """The same for what this event loop does."""
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, f"not within {seconds:g} s"
        await asyncio.sleep(every)
