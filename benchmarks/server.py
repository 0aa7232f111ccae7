"""The server under test: started on free ports and always stopped, or one that runs already."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from benchmarks.errors import BenchmarkError, ServerNotReady
from benchmarks.photographs import CHECKOUT
from benchmarks.processes import tree
from benchmarks.stages import MODEL, asked, configuration, instances
from fovea_server.triton.ports import free_ports

_STOP = 45.0  # seconds a stopping server gets: its drain notice, its drain, Triton's exit time-out
_POLL = 0.05


@dataclass(frozen=True)
class Server:
    """Where to find it. What is None is not measured; without `pid`, CPU and memory are not known.

    start_seconds   from its command to ready; None where somebody else started it
    """

    rest: str | None  # http://host:port
    grpc: str | None  # host:port
    triton: str | None  # host:port of Triton's own gRPC
    pid: int | None
    start_seconds: float | None = None


@contextlib.contextmanager
def started(arguments: Sequence[str], timeout: float) -> Iterator[Server]:
    """Run `fovea serve` on loopback while the block runs; `arguments` are added to its own."""
    rest, grpc, triton, metrics = free_ports(4)
    command = [
        *(str(Path(sys.executable).with_name("fovea")), "serve", "--host", "127.0.0.1"),
        *("--rest-port", str(rest), "--grpc-port", str(grpc)),
        *("--triton-grpc-port", str(triton), "--triton-metrics-port", str(metrics)),
        *("--drain-notice", "0"),
        *arguments,
    ]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log,
        tempfile.TemporaryDirectory() as state,
    ):
        command += ["--state", state]  # without the models that somebody added here
        began = time.monotonic()
        try:
            # In a session of its own, Ctrl-C reaches only us and the server is stopped in order.
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=CHECKOUT, start_new_session=True)
        except OSError as error:
            raise ServerNotReady(f"`fovea serve` cannot be run: {error.strerror}", "pip install -e '.[cpu]'") from error
        family: list[psutil.Process] = []
        try:
            url = f"http://127.0.0.1:{rest}"
            _until_ready(url, timeout, process, log)
            took = round(time.monotonic() - began, 2)
            # Noted now: once their parent has been killed, nobody knows whose they were.
            family = tree(process.pid)
            yield Server(url, f"127.0.0.1:{grpc}", f"127.0.0.1:{triton}", process.pid, took)
        except BenchmarkError as error:
            if process.poll() is None:
                raise
            # Whatever was noticed first, this is why.
            ended = f"`fovea serve` ended with exit code {process.returncode}"
            raise ServerNotReady(ended, _last_words(log)) from error
        finally:
            _stop(process, family)


def is_ready(url: str) -> bool:
    """Whether GET /readyz answers 200."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def precision(rest: str) -> str:
    """What the default model computes in, as the gateway says."""
    address = urlsplit(rest)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        connection.request("GET", "/v1/models")
        models = json.load(connection.getresponse())["models"]
    except (OSError, ValueError, KeyError) as error:
        raise ServerNotReady(
            f"{rest} does not say which models it serves: {error}", "start it with `fovea serve`"
        ) from error
    finally:
        connection.close()
    return str(next(model["engine"] for model in models if model["default"])).split()[-1]


def describe(triton: str) -> dict[str, Any]:
    """Triton's version and how its model is configured: what one must know to compare two results."""
    with asked(triton) as client:
        version = client.get_server_metadata(client_timeout=10).version
    config = configuration(triton)
    return {
        "tritonserver": version,
        "models": {
            MODEL: {
                "backend": config.backend,
                "instances": instances(config),
                "max_batch": config.max_batch_size,
                **{key: value.string_value for key, value in sorted(config.parameters.items())},
            }
        },
    }


def _until_ready(url: str, timeout: float, process: subprocess.Popen[bytes], log: Any) -> None:
    deadline = time.monotonic() + timeout
    while not is_ready(url):
        if process.poll() is not None:
            raise ServerNotReady("`fovea serve` ended", _last_words(log))
        if time.monotonic() > deadline:
            raise ServerNotReady(f"`fovea serve` was not ready within {timeout:g} s", _last_words(log))
        time.sleep(_POLL)


def _last_words(log: Any) -> str:
    log.seek(0)
    lines = [words for line in log if (words := line.strip(" \n│╭╮╰╯─"))]
    return "it said: " + " / ".join(lines[-3:]) if lines else "it said nothing; run `fovea serve` to see"


def _stop(process: subprocess.Popen[bytes], family: list[psutil.Process]) -> None:
    """SIGTERM; what is left of the family afterwards is killed."""
    with contextlib.suppress(ServerNotReady):
        family = [*family, *tree(process.pid)]
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP)
    finally:
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()


def of_running(rest: str | None, grpc: str | None, triton: str | None, pid: int | None) -> Server:
    """A server that somebody else started and will stop."""
    if rest and not is_ready(rest):
        raise ServerNotReady(f"{rest}/readyz does not answer 200", "start it with `fovea serve`")
    if pid is not None and not psutil.pid_exists(pid):
        raise ServerNotReady(f"process {pid} does not exist", "give the pid of `fovea serve`")
    return Server(rest.rstrip("/") if rest else None, grpc, triton, pid)
