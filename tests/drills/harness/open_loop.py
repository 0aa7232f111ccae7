"""Open-loop load: requests arrive at a constant rate, whether or not those before were answered.

The generator is one process, or several for high rates (generator.py). It shares the machine with the server: what it
took is in `Records.cpu_seconds` and belongs beside every figure made from them.
"""

from __future__ import annotations

import contextlib
import math
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tests.conftest import ROOT
from tests.drills.harness.generator import Plan
from tests.drills.harness.records import Records

_A_PROCESS = 2000  # requests/s that one generator process keeps up with, beside a busy server
_LEAD = 0.5  # seconds a generator may take to start
_GRACE = 12.0  # seconds for the last answers: a request may take 10 unless it says otherwise

Phase = tuple[float, float]  # requests/s, seconds


class Load:
    """A load that is under way: it began at `begins` (CLOCK_MONOTONIC), its phases follow each other without a gap."""

    def __init__(
        self,
        phases: Sequence[Phase],
        begins: float,
        grace: float,
        processes: list[subprocess.Popen[bytes]],
        folder: Path,
    ) -> None:
        self._phases = phases
        self.begins = begins
        self._grace = grace
        self._processes = processes
        self._folder = folder

    @property
    def ends(self) -> float:
        return self.begins + sum(seconds for _, seconds in self._phases)

    def window(self, phase: int) -> tuple[float, float]:
        """When a phase begins and ends."""
        begin = self.begins + sum(seconds for _, seconds in self._phases[:phase])
        return begin, begin + self._phases[phase][1]

    def wait(self) -> Records:
        """What became of every request, once all are answered or have been given up."""
        for process in self._processes:
            code = process.wait(max(self.ends - time.monotonic(), 0) + self._grace + 30)
            if code:
                raise RuntimeError(f"a load generator ended with exit code {code}")
        return _merged([pickle.loads(path.read_bytes()) for path in sorted(self._folder.glob("*.records"))])


@contextlib.contextmanager
def load(
    port: int,
    requests: Sequence[bytes],
    phases: Sequence[Phase],
    *,
    connections: int = 4000,
    grace: float = _GRACE,
) -> Iterator[Load]:
    """Send `requests` (whole, head and body), in turn, over `phases`; the generator ends with the block.

    `grace` is how many seconds the last answers may take.
    """
    count = math.ceil(max(rate for rate, _ in phases) / _A_PROCESS)
    begins = time.monotonic() + _LEAD
    due = np.concatenate([_due(begins, phases, index) for index in range(len(phases))])
    asks = (np.arange(len(due)) % len(requests)).astype(np.uint16)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        started = []
        for index in range(count):
            share = slice(index, None, count)
            records = Path(folder, f"{index}.records")
            plan = Plan(
                *("127.0.0.1", port, tuple(requests), due[share], asks[share]),
                *(grace, connections // count, records),
            )
            started.append(stack.enter_context(_generator(plan)))
        yield Load(phases, begins, grace, started, Path(folder))


def run(port: int, requests: Sequence[bytes], rate: float, seconds: float, *, grace: float = _GRACE) -> Records:
    """A load of one phase, from begin to end."""
    with load(port, requests, [(rate, seconds)], grace=grace) as under_way:
        return under_way.wait()


def saturated(port: int, requests: Sequence[bytes], callers: int, seconds: float) -> float:
    """Requests/s that so many callers get answered well who ask again at once: a closed loop.

    It is an open loop at a rate that nothing meets, over that many connections.
    """
    with load(port, requests, [(_A_PROCESS, seconds)], connections=callers, grace=0.1) as under_way:
        return len(under_way.wait().good) / seconds


def post(
    body: bytes, *, path: str = "/v1/classify", media_type: str = "image/jpeg", headers: Mapping[str, str] | None = None
) -> bytes:
    """A whole HTTP/1.1 request."""
    fields = {"Host": "127.0.0.1", "Content-Type": media_type, "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def _due(begins: float, phases: Sequence[Phase], index: int) -> np.ndarray:
    rate, seconds = phases[index]
    begin = begins + sum(seconds for _, seconds in phases[:index])
    return begin + np.arange(int(rate * seconds)) / rate


@contextlib.contextmanager
def _generator(plan: Plan) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.drills.harness.generator"]
    # In a session of its own, so that a scheduler that shares by session does not take its time from the gateway.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT, start_new_session=True)
    try:
        assert process.stdin is not None
        with process.stdin:
            pickle.dump(plan, process.stdin)
        yield process
    finally:
        process.kill()
        process.wait()


def _merged(parts: list[tuple[np.ndarray, tuple[str, ...], float]]) -> Records:
    words: dict[str, int] = {}
    for rows, own, _ in parts:
        rows["said"] = np.array([words.setdefault(word, len(words)) for word in own], np.uint16)[rows["said"]]
    rows = np.concatenate([rows for rows, _, _ in parts])
    return Records(rows[np.argsort(rows["due"])], tuple(words), sum(cpu for _, _, cpu in parts))
