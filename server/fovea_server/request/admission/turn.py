"""One request on its way through admission."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Protocol

from fovea_server.domain import Deadline, Priority
from fovea_server.errors import FoveaError


class Door(Protocol):
    """What lets turns in and out."""

    def try_enter(self, turn: Turn) -> bool: ...
    async def wait(self, turn: Turn) -> None: ...
    def leave(self, turn: Turn, error: BaseException | None) -> None: ...


class Turn:
    """`async with` it: inside, the request may be in Triton. Compared by identity."""

    __slots__ = ("began", "caller", "cost", "deadline", "door", "is_inside", "is_waiting", "priority", "size", "told")

    told: asyncio.Future[FoveaError | None]  # of one that waits: why its turn will not come; None once it has

    def __init__(self, door: Door, size: int, deadline: Deadline, cost: float, priority: Priority, caller: str) -> None:
        self.door = door
        self.size = size
        self.deadline = deadline
        self.cost = cost
        self.priority = priority
        self.caller = caller
        self.is_waiting = self.is_inside = False
        self.began = 0.0

    async def __aenter__(self) -> None:
        if not self.door.try_enter(self):
            await self.door.wait(self)
        self.began = time.monotonic()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.door.leave(self, error)
