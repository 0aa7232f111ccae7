"""Start and stop a real `fovea serve` on free loopback ports."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from tests.conftest import children_running

FOVEA = Path(sys.executable).parent / "fovea"
START_SECONDS = 120


@dataclass
class Served:
    """A running server; `log` is all it has written."""

    process: subprocess.Popen[bytes]
    rest_port: int
    grpc_port: int
    triton_port: int
    triton_http_port: int
    log_path: Path
    state: Path
    ca_file: Path | None = None  # where it speaks TLS

    @property
    def url(self) -> str:
        return f"{'https' if self.ca_file else 'http'}://127.0.0.1:{self.rest_port}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def triton(self) -> psutil.Process:
        """The tritonserver of the moment."""
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # another child ends as we look
                if child.name() == "tritonserver":
                    return child
        raise AssertionError(f"no tritonserver is running; the log says:\n{self.log[-2000:]}")

    def followers(self) -> list[psutil.Process]:
        """The gateway processes of the moment besides the first."""
        return children_running("fovea_server.workers.follower", self.process.pid)

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            trust = ssl.create_default_context(cafile=self.ca_file) if self.ca_file else True
            return httpx.get(f"{self.url}/readyz", timeout=2, verify=trust).status_code == 200
        return False

    def metrics(self) -> str:
        return httpx.get(f"{self.url}/metrics", timeout=10).text

    def wait_ready(self, seconds: float = START_SECONDS) -> float:
        """Until it is ready; the seconds it took."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if self.is_ready():
                return time.monotonic() - began
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"not ready after {time.monotonic() - began:.1f} s; the log says:\n{self.log[-3000:]}")


@contextlib.contextmanager
def served(
    free_ports: list[int],
    *options: str,
    seconds: float = START_SECONDS,
    state: Path | None = None,
    ca_file: Path | None = None,
    before: tuple[str, ...] = (),
    in_order: bool = False,
) -> Iterator[Served]:
    """A server that is ready; whatever happens it is stopped, with everything below it, at once or `in_order`.

    `before` are the words of a command that becomes the server.
    """
    rest, grpc, triton, triton_http, metrics = free_ports
    with tempfile.TemporaryDirectory() as folder:
        log_path = Path(folder, "log")
        state = state or Path(folder, "state")
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [
                    *before,
                    FOVEA,
                    "serve",
                    *(f"--rest-port={rest}", f"--grpc-port={grpc}", f"--triton-grpc-port={triton}"),
                    *(f"--triton-http-port={triton_http}", f"--triton-metrics-port={metrics}"),
                    *("--drain-notice=0.5", f"--state={state}", *options),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        server = Served(process, rest, grpc, triton, triton_http, log_path, state, ca_file)
        try:
            server.wait_ready(seconds)
            yield server
        finally:
            _stop(process, in_order=in_order)


def _stop(process: subprocess.Popen[bytes], *, in_order: bool) -> None:
    """A second signal asks for the end at once: stopping in order takes seconds, and has tests of its own."""
    family = [process.pid]
    with contextlib.suppress(psutil.NoSuchProcess):
        family += [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(signal.SIGTERM)
    if not in_order:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
