"""One process of an open loop: sends each request when it is due, whatever became of those before.

Started by open_loop.py, with a pickled `Plan` on stdin; writes its records to the plan's file. It parses no more of an
answer than its status, its length and one word, and its requests are built beforehand, so that it takes little of a
small machine from the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import uvloop
from numpy.typing import NDArray
from tests.drills.harness.records import ROW

_IN_A_ROW = 16  # requests sent, where several are due, before answers are read
_WORDS_OF_OURS = (b'"reason":"', b'"version":"')


@dataclass(frozen=True)
class Plan:
    """`due` are seconds on CLOCK_MONOTONIC, ascending; `asks` says which of the requests is sent at each."""

    host: str
    port: int
    requests: tuple[bytes, ...]
    due: NDArray[np.float64]
    asks: NDArray[np.uint16]
    grace: float  # seconds after the last was due in which answers still count
    connections: int  # at most; what finds none free waits here, and its latency grows
    records: Path


class _Run:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rows = np.zeros(len(plan.due), ROW)
        self.rows["due"], self.rows["ask"] = plan.due, plan.asks
        self.rows["sent"] = self.rows["done"] = np.nan
        self.words = {"": 0, "no answer": 1}
        self.rows["said"] = 1
        self.free: list[_Connection] = []
        self.opened = 0
        self.queue: list[int] = []
        self.open = 0  # requests without an outcome yet
        self.settled = asyncio.Event()  # all have one; may be cleared again while requests are still being sent
        self._opening: set[asyncio.Task[None]] = set()

    def fire(self, row: int) -> None:
        self.open += 1
        self.settled.clear()
        while self.free:
            connection = self.free.pop()
            if not connection.transport.is_closing():
                connection.send(row)
                return
        self.queue.append(row)
        self._open()

    def _open(self) -> None:
        """Another connection, if there may be one."""
        if self.opened < self.plan.connections:
            self.opened += 1
            task = asyncio.get_running_loop().create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _Connection(self), self.plan.host, self.plan.port)
        except OSError as error:
            if self.queue:
                self.lost(self.queue.pop(0), f"not connected: {error.strerror}")
            self.closed()

    def closed(self) -> None:
        """A connection is gone, or never came to be; what waits for one must not wait for ever."""
        self.opened -= 1
        if self.queue:
            self._open()

    def ready(self, connection: _Connection) -> None:
        """A connection has nothing to do."""
        if self.queue:
            connection.send(self.queue.pop(0))
        else:
            self.free.append(connection)

    def outcome(self, row: int, status: int, word: str) -> None:
        record = self.rows[row]
        record["done"], record["status"] = time.monotonic(), status
        self._settle(row, word)

    def lost(self, row: int, why: str) -> None:
        self._settle(row, why)

    def _settle(self, row: int, word: str) -> None:
        self.rows[row]["said"] = self.words.setdefault(word, len(self.words))
        self.open -= 1
        if not self.open:
            self.settled.set()


class _Connection(asyncio.Protocol):
    """Sends one request at a time and reads its answer."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._row: int | None = None
        self._received = bytearray()
        self._length = 0  # of head and body together; 0 until the head is there
        self._status = 0
        self._last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._run.ready(self)

    def send(self, row: int) -> None:
        self._row = row
        self._run.rows[row]["sent"] = time.monotonic()
        self.transport.write(self._run.plan.requests[self._run.rows[row]["ask"]])

    def data_received(self, data: bytes) -> None:
        if self._row is None:
            self.transport.close()  # nothing was asked: the server ends a connection that has idled for long
            return
        self._received += data
        if not self._length:
            self._read_head()
        if self._length and len(self._received) >= self._length:
            self._answered()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._row is not None:
            self._run.lost(self._row, "connection lost")
        self._run.closed()

    def _read_head(self) -> None:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        at = head.find(b"content-length:")
        body = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        self._status = int(head[9:12])
        self._last = b"connection: close" in head
        self._length = end + 4 + body

    def _answered(self) -> None:
        answer = bytes(self._received[: self._length])
        self._received.clear()
        self._length = 0
        row, self._row = self._row, None
        assert row is not None
        self._run.outcome(row, self._status, _word(answer))
        if self._last:
            self.transport.close()
        else:
            self._run.ready(self)


def _word(answer: bytes) -> str:
    """The reason of a refusal, or the version of the model that answered; empty where the answer has neither."""
    for key in _WORDS_OF_OURS:
        begin = answer.find(key)
        if begin >= 0:
            begin += len(key)
            return answer[begin : answer.find(b'"', begin)].decode("ascii", "replace")
    return ""


async def _send_all(plan: Plan) -> _Run:
    run = _Run(plan)
    in_a_row = 0
    for row, due in enumerate(plan.due.tolist()):
        delay = due - time.monotonic()
        in_a_row = 0 if delay > 0 else in_a_row + 1
        if delay > 0:
            await asyncio.sleep(delay)
        elif in_a_row % _IN_A_ROW == 0:
            await asyncio.sleep(0)  # behind: still read what comes
        run.fire(row)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(run.settled.wait(), plan.grace)
    return run


def main() -> None:
    plan: Plan = pickle.load(sys.stdin.buffer)
    run = uvloop.run(_send_all(plan))
    with plan.records.open("wb") as file:
        pickle.dump((run.rows, tuple(run.words), time.process_time()), file)


if __name__ == "__main__":
    main()
