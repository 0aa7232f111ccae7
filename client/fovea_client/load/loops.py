"""The closed and the open loop over kept connections: what each one sends next, and what came back."""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

from fovea_client.load.measured import Load, summary
from fovea_client.load.schedule import Closed, Open, Way, arrivals

_FIRST = 16  # connections of an open loop at its beginning
_AFTER_STOP = 2.0  # seconds that answers may still take once somebody said stop
# Timers of asyncio and uvloop count whole milliseconds; half of one more, and they never come too early.
_ROUNDING = 0.0005

Connect = Callable[[], Awaitable[object]]


class Connection(Protocol):
    """Takes one request at a time; tells its loop when it is `opened`, has `answered`, is `ready` again, or `lost`."""

    def send(self, request: bytes, since: float) -> None: ...

    def close(self) -> None: ...


def loop_of(way: Way, requests: Iterator[bytes], seconds: float, connect: Connect) -> Loop:
    """The loop for a way of asking; `connect` opens one connection, which then reports itself."""
    if isinstance(way, Closed):
        return ClosedLoop(requests, seconds, connect, way)
    return OpenLoop(requests, seconds, connect, way)


class Loop(ABC):
    """One measurement of `seconds`."""

    def __init__(self, requests: Iterator[bytes], seconds: float, connect: Connect) -> None:
        self._requests = requests
        self._connect = connect
        self._began = time.perf_counter()
        self._ends = self._began + seconds
        self._under_way = 0
        self._latencies: list[float] = []
        self._served = 0
        self._in_time = 0
        self._errors: Counter[str] = Counter()
        self._finished = asyncio.Event()

    async def run(self, stop: asyncio.Event | None, grace: float) -> None:
        """Until the time is over, or `stop`, and every answer is there or `grace` seconds have passed.

        Raises OSError where nobody listens.
        """
        await self._start()
        finished = asyncio.ensure_future(self._finished.wait())
        stopped = asyncio.ensure_future((stop or asyncio.Event()).wait())
        left = self._ends - time.perf_counter() + grace
        await asyncio.wait({finished, stopped}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            self._stop()
            await asyncio.wait({finished}, timeout=_AFTER_STOP)
        elif not finished.done():
            self._errors["no answer in time"] += self._under_way + self._not_sent()
        finished.cancel()
        stopped.cancel()

    @abstractmethod
    async def _start(self) -> None:
        """Open what is needed and send the first request."""

    @abstractmethod
    def ready(self, connection: Connection) -> None:
        """The connection may take a request."""

    @abstractmethod
    def lost(self, connection: Connection, error: str | None) -> None:
        """The connection is gone; `error` says how, if a request was under way on it."""

    @abstractmethod
    def result(self, generator: str, cpu_seconds: float) -> Load: ...

    def answered(self, since: float, failure: str | None) -> None:
        """The whole answer to what was due at `since` is there; `failure` says what it was if not a success."""
        self._under_way -= 1
        if failure is not None:
            self._errors[failure] += 1
            return
        now = time.perf_counter()
        self._served += 1
        self._in_time += now < self._ends
        self._note(now - since, now < self._ends)

    @abstractmethod
    def _note(self, latency: float, in_time: bool) -> None: ...

    def _not_sent(self) -> int:
        """How many requests were due and found no connection that could take them."""
        return 0

    def _send(self, connection: Connection, since: float) -> None:
        self._under_way += 1
        connection.send(next(self._requests), since)

    def _lost_request(self, error: str | None) -> None:
        if error is not None:
            self._under_way -= 1
            self._errors[error] += 1

    def _stop(self) -> None:
        """No further request; what is under way may finish."""
        self._ends = min(self._ends, time.perf_counter())


class ClosedLoop(Loop):
    """As many requests under way as there are connections. A lost one is not opened again.

    It is measured once as many answers are there as there are connections: the first ones find a server that has
    nothing to do yet. Where that takes more than half of the time, everything counts.
    """

    def __init__(self, requests: Iterator[bytes], seconds: float, connect: Connect, way: Closed) -> None:
        super().__init__(requests, seconds, connect)
        self._wanted = self._open = way.connections
        self._filling: list[float] = []  # latencies of the first answers
        self._filled: float | None = None  # when they were there

    async def _start(self) -> None:
        for _ in range(self._wanted):
            await self._connect()

    def ready(self, connection: Connection) -> None:
        now = time.perf_counter()
        if now < self._ends:
            self._send(connection, now)
        else:
            connection.close()

    def lost(self, connection: Connection, error: str | None) -> None:
        # Fewer connections than asked for is a result of its own, and the error says so.
        self._lost_request(error)
        self._open -= 1
        if self._open == 0:
            self._finished.set()

    def _note(self, latency: float, in_time: bool) -> None:
        if in_time and self._filled is None:
            self._filling.append(latency)
            if len(self._filling) == self._wanted:
                self._filled = time.perf_counter()
        elif in_time:
            self._latencies.append(latency)

    def result(self, generator: str, cpu_seconds: float) -> Load:
        # Where every connection was lost early, the rate is over the time that there were any.
        ended = min(time.perf_counter(), self._ends)
        began, latencies = self._filled, self._latencies
        if began is None or began - self._began > ended - began:
            began, latencies = self._began, self._filling + self._latencies
        return summary(generator, self._wanted, ended - began, latencies, self._served, self._errors, cpu_seconds)


class OpenLoop(Loop):
    """Requests at a constant rate. What is due while every connection is busy waits, and its wait counts."""

    def __init__(self, requests: Iterator[bytes], seconds: float, connect: Connect, way: Open) -> None:
        super().__init__(requests, seconds, connect)
        self._way = way
        self._seconds = seconds
        self._idle: list[Connection] = []  # the last one used is used first
        self._due: deque[float] = deque()
        self._next: float | None = math.inf  # when the next is due: not before the start; None after the last
        self._open = 0
        self._most = 0
        self._opening: set[asyncio.Future[None]] = set()

    async def _start(self) -> None:
        for _ in range(min(_FIRST, self._way.connections)):
            self._opened()
            await self._connect()
        self._began = time.perf_counter()
        self._ends = self._began + self._seconds
        self._schedule = arrivals(self._began, self._way.rate, self._seconds)
        self._next = next(self._schedule, None)
        self._arrive()

    def ready(self, connection: Connection) -> None:
        if self._due:
            self._send(connection, self._due.popleft())
        else:
            self._idle.append(connection)
            self._finish_if_done()

    def lost(self, connection: Connection, error: str | None) -> None:
        self._open -= 1
        self._lost_request(error)
        if connection in self._idle:
            self._idle.remove(connection)
        self._connect_as_needed()
        self._finish_if_done()

    def _arrive(self) -> None:
        """Send what is due, and come back for the next."""
        now = time.perf_counter()
        while self._next is not None and self._next <= now:
            self._due.append(self._next)
            self._next = next(self._schedule, None)
        while self._due and self._idle:
            self._send(self._idle.pop(), self._due.popleft())
        self._connect_as_needed()
        if self._next is not None:
            asyncio.get_running_loop().call_later(self._next - now + _ROUNDING, self._arrive)
        else:
            self._finish_if_done()

    def _connect_as_needed(self) -> None:
        while len(self._opening) < len(self._due) and self._open < self._way.connections:
            self._opened()
            opening = asyncio.ensure_future(self._connect_one())
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _connect_one(self) -> None:
        try:
            await self._connect()
        except OSError:
            self._open -= 1
            if self._due:
                self._due.popleft()
                self._errors["cannot connect"] += 1
            self._finish_if_done()

    def _opened(self) -> None:
        self._open += 1
        self._most = max(self._most, self._open)

    def _not_sent(self) -> int:
        return len(self._due)

    def _finish_if_done(self) -> None:
        if self._next is None and not self._due and self._under_way == 0:
            idle, self._idle = self._idle, []
            for connection in idle:
                connection.close()
            self._finished.set()

    def _stop(self) -> None:
        super()._stop()
        self._next = None
        self._due.clear()
        self._finish_if_done()

    def _note(self, latency: float, in_time: bool) -> None:
        # Those that come late were due in time: to leave them out would be to leave out the slowest.
        self._latencies.append(latency)

    def result(self, generator: str, cpu_seconds: float) -> Load:
        return summary(
            generator,
            self._most,
            self._ends - self._began,
            self._latencies,
            self._served,
            self._errors,
            cpu_seconds,
            rate=round(self._way.rate, 2),
            in_time=self._in_time,
        )
