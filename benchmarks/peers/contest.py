"""One server after the other, again and again: start, check, warm up, measure, stop."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from benchmarks import server
from benchmarks.errors import BenchmarkError, LoadFailed
from benchmarks.peers import agreement, running
from benchmarks.peers.catalogue import DOORS, OURS_TITLE, PEERS, Peer
from benchmarks.peers.running import Graph, Running
from benchmarks.peers.table import Comparison
from benchmarks.photographs import CHECKOUT, Photographs
from benchmarks.processes import Meter
from benchmarks.rows import Row
from fovea_client.load.measured import Load
from fovea_client.load.photographs import Photograph

ROUNDS = 4
CONCURRENCIES = (1, 8, 32)
_WARM_UP = 2.0  # seconds of load before a server's first line
_GRACE = 90.0  # seconds a generator may take beyond its load
_START = 120.0  # seconds ours may take until it serves


@dataclass(frozen=True)
class Contestant:
    """A server in this run: its line's name, the door that is knocked at, how to start it."""

    title: str
    door: str
    start: Callable[[], AbstractContextManager[Running]]


@dataclass(frozen=True)
class Plan:
    seconds: float
    photographs: Photographs
    sample: tuple[Photograph, ...]
    expected: list[int]


def contestants(only: tuple[str, ...], precision: str, default: str, graph: Graph) -> list[Contestant]:
    """The peers that were asked for, then ours: once more in its own choice of precision, where that is another."""

    def of(peer: Peer) -> Contestant:
        return Contestant(peer.title, peer.title, lambda: running.started(peer, graph))

    def ours(served: str) -> Contestant:
        return Contestant(our_title(served), OURS_TITLE, lambda: _serving(served))

    peers = [of(peer) for peer in PEERS if peer.name in only]
    return [*peers, *(ours(served) for served in dict.fromkeys((precision, default)))]


@contextlib.contextmanager
def _serving(precision: str) -> Iterator[Running]:
    with server.started(("--precision", precision), _START) as started:
        assert started.rest is not None
        assert started.pid is not None
        yield Running(started.rest, started.pid)


def measured(plan: Plan, everybody: list[Contestant], result: Comparison) -> Iterator[Comparison]:
    """The result so far, after each server of each round; who cannot be measured is left out from then on."""
    for number in range(1, ROUNDS + 1):
        # Back and forth, so that a machine that slows down is unfair to nobody.
        for contestant in everybody if number % 2 else reversed(everybody):
            if contestant.title in result.absent:
                continue
            say(f"round {number}/{ROUNDS}  {contestant.title} ...")
            try:
                with contestant.start() as started:
                    if number == 1:
                        said = {**result.agreement, contestant.title: _agreement(plan, contestant, started)}
                        result = replace(result, agreement=said)
                    for row in _rows(plan, contestant, started):
                        result = replace(result, rows=[*result.rows, row])
            except BenchmarkError as error:
                say(f"{contestant.title}: {error}")
                result = replace(result, absent={**result.absent, contestant.title: str(error)})
            yield result
    if not result.rows:
        raise LoadFailed("no server could be measured", next(iter(result.absent.values()), "name others with --only"))


def _rows(plan: Plan, contestant: Contestant, started: Running) -> Iterator[Row]:
    _load(plan, contestant, started, max(CONCURRENCIES), _WARM_UP)
    for concurrency in CONCURRENCIES:
        with Meter(started.pid) as meter:
            load = _load(plan, contestant, started, concurrency, plan.seconds)
        if not load.images_per_second:
            raise LoadFailed(f"{concurrency} at once: no image was answered ({dict(load.errors)})", "")
        yield Row(contestant.title, load, meter.cost)


def _load(plan: Plan, contestant: Contestant, started: Running, concurrency: int, seconds: float) -> Load:
    """In a process of its own, so that its CPU time is told from ours and nothing here delays it."""
    command = [sys.executable, "-m", "benchmarks.peers.load", "--server", contestant.door, "--url", started.url]
    command += ["--concurrency", str(concurrency), "--seconds", str(seconds)]
    command += ["--images", str(plan.photographs.path)]
    try:
        done = subprocess.run(
            command, cwd=CHECKOUT, capture_output=True, text=True, timeout=seconds + _GRACE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(f"{concurrency} at once: the load did not end in time", "") from error
    if done.returncode != 0:
        raise LoadFailed(f"{concurrency} at once: {done.stderr.strip()[-300:]}", "")
    return Load.from_json(done.stdout.strip().splitlines()[-1])


def _agreement(plan: Plan, contestant: Contestant, started: Running) -> str:
    right = agreement.agreeing(DOORS[contestant.door], started.url, plan.sample, plan.expected)
    count = len(plan.sample)
    verdict = "answers as the reference does" if right == count else "DOES NOT answer as the reference does"
    return f"{verdict}, {right} of {count} photographs"


def our_title(precision: str) -> str:
    return f"{OURS_TITLE}, {precision}"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
