"""A `fovea serve` for one setting, on ports of its own, always stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
import psutil

from fovea_server.errors import StartError
from fovea_server.triton.ports import free_ports

_START = 90.0  # seconds it may take
_STOP = 45.0
_POLL = 0.1


@dataclass(frozen=True)
class TrialServer:
    """A server that is ready."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        return sum(_cpu_seconds(process) for process in _family(self.pid))


@contextlib.contextmanager
def served(options: Sequence[str]) -> Iterator[TrialServer]:
    """`fovea serve` with these options while the block runs. Raises StartError where it does not get ready."""
    rest, grpc, triton, metrics = free_ports(4)
    with (
        tempfile.TemporaryDirectory(prefix="fovea-tune-") as folder,
        tempfile.TemporaryFile("w+", errors="replace") as log,
    ):
        # In a session of its own, Ctrl-C reaches only us, and the server is stopped in order.
        process = subprocess.Popen(  # noqa: S603 (our own command)
            [
                *(str(Path(sys.executable).with_name("fovea")), "serve", "--host=127.0.0.1", "--device=cpu"),
                *(f"--rest-port={rest}", f"--grpc-port={grpc}", f"--triton-grpc-port={triton}"),
                *(f"--triton-metrics-port={metrics}", "--drain-notice=0", "--log-level=warning"),
                *(f"--state={folder}", *options),
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
            # What the operator has set for their own server is not what is measured.
            env={name: value for name, value in os.environ.items() if not name.startswith("FOVEA_")},
        )
        try:
            url = f"http://127.0.0.1:{rest}"
            _until_ready(url, process, log)
            yield TrialServer(url, process.pid)
        finally:
            _stop(process)


def _until_ready(url: str, process: subprocess.Popen[bytes], log: IO[str]) -> None:
    deadline = time.monotonic() + _START
    while not _is_ready(url):
        if process.poll() is not None:
            raise StartError(f"`fovea serve` ended: {_last_words(log)}", "try it alone: fovea serve")
        if time.monotonic() > deadline:
            raise StartError(f"`fovea serve` was not ready after {_START:g} s: {_last_words(log)}", "try it alone")
        time.sleep(_POLL)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).is_success
    except httpx.HTTPError:
        return False


def _last_words(log: IO[str]) -> str:
    log.seek(0)
    lines = [words for line in log if (words := line.strip())]
    return " / ".join(lines[-2:]) or "it said nothing"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM; what is left of its family afterwards is killed."""
    family = _family(process.pid)  # noted now: once their parent is gone, nobody knows whose they were
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


def _family(pid: int) -> list[psutil.Process]:
    """The process and all below it; none once it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def _cpu_seconds(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0
