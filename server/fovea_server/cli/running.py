"""The servers that run on this machine with the same state folder, and what they can be told."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

_PATIENCE = 30.0  # seconds for a server that is starting, or starting its Triton again
_ANSWER = 400.0  # seconds to load a model and prove it, or to let its last requests finish


@dataclass(frozen=True)
class Server:
    """A running `fovea serve`, by its control socket."""

    socket: Path

    @property
    def pid(self) -> int:
        return int(self.socket.stem.rpartition("-")[2])

    def add(self, model: str) -> str | None:
        """Take a model into service; None, or why it does not."""
        return self._say("PUT", model)

    def take_over(self, model: str) -> str | None:
        """Let a version that it has loaded, NAME@VERSION, answer from now on; None, or why it does not."""
        return self._say("PUT", f"{model}/current")

    def remove(self, model: str) -> str | None:
        """Take a model out of service; None, or why it does not. One that it does not serve is out already."""
        return self._say("DELETE", model, fine=(HTTPStatus.NOT_FOUND,))

    def models(self) -> set[str]:
        """What it has loaded, as NAME and NAME@VERSION; nothing where it does not answer."""
        import httpx

        with self._client(timeout=10) as client:
            try:
                return set(client.get("http://fovea/models").raise_for_status().json()["models"])
            except httpx.HTTPError:
                return set()

    def _say(self, method: str, model: str, fine: tuple[int, ...] = ()) -> str | None:
        import httpx

        until = time.monotonic() + _PATIENCE
        with self._client(_ANSWER) as client:
            while True:
                try:
                    answer = client.request(method, f"http://fovea/models/{model}")
                except httpx.HTTPError as error:
                    return f"it does not answer: {error}"
                if answer.is_success or answer.status_code in fine:
                    return None
                problem = answer.json()
                if problem["reason"] != "NOT_READY" or time.monotonic() > until:
                    return str(problem["detail"])
                time.sleep(0.5)

    def _client(self, timeout: float) -> httpx.Client:
        import httpx

        return httpx.Client(transport=httpx.HTTPTransport(uds=str(self.socket)), timeout=timeout)


def servers(state: Path) -> Iterator[Server]:
    from fovea_server import control_sockets

    yield from map(Server, control_sockets.of_running_servers(state))


def triton_of_any(state: Path) -> str | None:
    """HOST:PORT of the gRPC face of a running server's Triton; None where none runs."""
    ports = (_triton_port(server.pid) for server in servers(state))
    return next((f"127.0.0.1:{port}" for port in ports if port), None)


def _triton_port(pid: int) -> str | None:
    """By the command line of the tritonserver below that process."""
    import psutil

    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                found = [word.partition("=")[2] for word in child.cmdline() if word.startswith("--grpc-port=")]
                if found:
                    return found[0]
    return None
