"""Cap the work in flight; what is over the cap waits as compressed bytes, first come first served, up to a bound."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from types import TracebackType

from fovea_server.domain import Deadline
from fovea_server.errors import Busy, DeadlineExceeded

_SMOOTHING = 0.1  # weight of the newest measurement in the running mean


@dataclass(frozen=True)
class AdmissionSettings:
    """`max_in_flight` stays well below the queue sizes of the models, so that Triton never refuses."""

    max_in_flight: int = 64
    max_waiting: int = 1024
    max_waiting_bytes: int = 256_000_000

    def of_one(self, processes: int) -> AdmissionSettings:
        """The share of each of so many processes, which together never hold more."""
        return replace(
            self,
            max_in_flight=max(self.max_in_flight // processes, 1),
            max_waiting=self.max_waiting // processes,
            max_waiting_bytes=self.max_waiting_bytes // processes,
        )


@dataclass
class _Waiter:
    turn: asyncio.Future[None]
    size: int


class Admission:
    """A counted slot for each request that is in flight, and a bounded waiting room before them."""

    def __init__(self, settings: AdmissionSettings) -> None:
        self._settings = settings
        self._waiting: deque[_Waiter] = deque()
        self._waiting_bytes = 0
        self._mean_hold = 0.05  # seconds a slot is held, a running mean
        self.in_flight = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def slot(self, size: int, deadline: Deadline) -> _Slot:
        """`async with` it: holds a slot for an image of `size` bytes.

        Raises Busy where the waiting room is full and DeadlineExceeded where the turn does not come in time.
        """
        return _Slot(self, size, deadline)

    async def acquire(self, size: int, deadline: Deadline) -> None:
        if self.in_flight < self._settings.max_in_flight and not self._waiting:
            self.in_flight += 1
            return
        self._check_room(size)
        await self._wait(size, deadline)

    def release(self, held: float) -> None:
        """Give the slot to the next in line; `held` is for how many seconds it was in use."""
        self._mean_hold += _SMOOTHING * (held - self._mean_hold)
        while self._waiting:
            waiter = self._waiting.popleft()
            self._waiting_bytes -= waiter.size
            if not waiter.turn.done():
                waiter.turn.set_result(None)
                return
        self.in_flight -= 1

    def _check_room(self, size: int) -> None:
        count, total = len(self._waiting) + 1, self._waiting_bytes + size
        if count > self._settings.max_waiting or total > self._settings.max_waiting_bytes:
            raise Busy(
                f"{len(self._waiting):,} requests with {self._waiting_bytes:,} bytes are waiting; "
                f"at most {self._settings.max_waiting:,} with {self._settings.max_waiting_bytes:,} may",
                retry_after=self._mean_hold * count / self._settings.max_in_flight,
            )

    async def _wait(self, size: int, deadline: Deadline) -> None:
        waiter = _Waiter(asyncio.get_running_loop().create_future(), size)
        self._waiting.append(waiter)
        self._waiting_bytes += size
        try:
            await asyncio.wait({waiter.turn}, timeout=max(deadline.remaining(), 0))
        except asyncio.CancelledError:
            self._leave(waiter)
            raise
        if not waiter.turn.done():
            self._leave(waiter)
            raise DeadlineExceeded(f"the deadline passed while {len(self._waiting) + 1:,} requests were waiting")

    def _leave(self, waiter: _Waiter) -> None:
        """Out of the room without a turn; a turn that came at the same moment is passed on."""
        if waiter.turn.done():
            self.release(self._mean_hold)
            return
        self._waiting.remove(waiter)
        self._waiting_bytes -= waiter.size


class _Slot:
    def __init__(self, admission: Admission, size: int, deadline: Deadline) -> None:
        self._admission = admission
        self._size = size
        self._deadline = deadline

    async def __aenter__(self) -> None:
        await self._admission.acquire(self._size, self._deadline)
        self._begin = asyncio.get_running_loop().time()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.release(asyncio.get_running_loop().time() - self._begin)
