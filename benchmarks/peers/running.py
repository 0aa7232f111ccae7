"""Run a peer on loopback for the length of a block, and leave nothing of it behind."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.errors import ServerNotReady
from benchmarks.peers import environments
from benchmarks.peers.catalogue import Peer
from benchmarks.peers.environments import NoPeer
from benchmarks.processes import tree
from fovea_server.triton.ports import free_ports

_SERVERS = Path(__file__).resolve().parent / "servers"
_START = 90.0  # seconds a peer may take until it serves
_SETTLE = 1.0  # seconds after that: one of its processes answers, the others are about to
_GONE = 1.0  # seconds until what was killed has given back its memory; a zombie has, and may stay for longer
_STOP = 15.0  # seconds a stopping peer gets before it is killed


@dataclass(frozen=True)
class Graph:
    """What every peer serves; `floats` is the precision of what the file does not hold as 8-bit integers."""

    path: Path
    floats: str


@dataclass(frozen=True)
class Running:
    url: str
    pid: int


@contextlib.contextmanager
def started(peer: Peer, graph: Graph) -> Iterator[Running]:
    """Install it if need be, start it, wait until it serves; stop it with all its processes. Raises NoPeer."""
    bin_folder = environments.ready(peer)
    with (
        tempfile.TemporaryDirectory() as home,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log,
    ):
        port, *others = free_ports(3)
        words = {
            "bin": str(bin_folder),
            "servers": str(_SERVERS),
            "home": home,
            "port": str(port),
            "port_2": str(others[0]),
            "port_3": str(others[1]),
            "workers": str(len(os.sched_getaffinity(0))),
        }
        try:
            # In a session of its own, it is one process group and hears no Ctrl-C but ours.
            process = subprocess.Popen(
                [word.format(**words) for word in peer.command],
                cwd=home,
                env=environment(peer, graph, words),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            raise NoPeer(
                f"{peer.title} cannot be run: {error.strerror}", "remove .cache/peers/ and try again"
            ) from error
        try:
            _until_ready(peer, port, process, log)
            yield Running(f"http://127.0.0.1:{port}", process.pid)
        finally:
            stop(process)


def environment(peer: Peer, graph: Graph, words: dict[str, str]) -> dict[str, str]:
    """Ours without our Python's, and what the peer's few lines read."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {
        **ours,
        "PYTHONPATH": str(_SERVERS),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PEER_MODEL": str(graph.path),
        "PEER_PRECISION": graph.floats,
        "PEER_PORT": words["port"],
        "PEER_WORKERS": words["workers"],
        **{name: value.format(**words) for name, value in peer.variables.items()},
    }


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the group; what is left of it or below it afterwards is killed."""
    family: list[psutil.Process] = []
    with contextlib.suppress(ServerNotReady):
        family = tree(process.pid)
    try:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP)
    finally:
        _signal_group(process.pid, signal.SIGKILL)
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()
        psutil.wait_procs(family, _GONE)


def _until_ready(peer: Peer, port: int, process: subprocess.Popen[bytes], log: Any) -> None:
    deadline = time.monotonic() + _START
    while not _answers(port, peer.ready):
        if process.poll() is not None:
            raise NoPeer(f"{peer.title} ended while starting: {_last_words(log)}", "start it alone to see more")
        if time.monotonic() > deadline:
            raise NoPeer(f"{peer.title} did not serve within {_START:g} s: {_last_words(log)}", "is the machine busy?")
        time.sleep(0.1)
    time.sleep(_SETTLE)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _last_words(log: Any) -> str:
    log.seek(0)
    lines = [line.strip() for line in log if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _signal_group(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, number)
