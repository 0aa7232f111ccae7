"""Two replicas behind a balancer are restarted in turn under load: `python -m tests.drills.rolling_restarts`."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
from tests.conftest import ROOT
from tests.drills.harness import open_loop
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import Drill
from tests.drills.harness.figures import Figure, all_of, none_of
from tests.drills.harness.running import main
from tests.e2e.served import served
from tests.ports import free_ports


def run(bench: Bench) -> list[Figure]:
    restarts = bench.scale.pick(full=10, short=1)
    # Of one replica, which carries the load alone while the other restarts.
    rate = 0.7 * bench.c
    ports = [free_ports(5), free_ports(5)]
    with _balancer([each[0] for each in ports]) as port, contextlib.ExitStack() as stack:
        replicas = [contextlib.ExitStack(), contextlib.ExitStack()]
        for replica, own in zip(replicas, ports, strict=True):
            stack.callback(replica.close)
            _start(replica, own)
        _until_balanced(port)
        seconds = restarts * 22.0  # a slow machine takes most of it under this load
        with open_loop.load(port, bench.requests(), [(rate, seconds)]) as load:
            done = 0
            while done < restarts and time.monotonic() < load.ends - 12:
                which = done % 2
                replicas[which].close()  # SIGTERM, and waits for its end
                _start(replicas[which], ports[which])
                time.sleep(1)
                done += 1
            records = load.wait()
    bench.note(rate=rate, outcomes=records.outcomes())
    failed = {word: n for word, n in records.outcomes().items() if word != "200 1"}
    return [all_of("restarts", restarts, done), none_of("failed requests", failed)]


def _start(replica: contextlib.ExitStack, ports: list[int]) -> None:
    replica.enter_context(served(ports, "--drain-notice=1", in_order=True))


@contextlib.contextmanager
def _balancer(replicas: list[int]) -> Iterator[int]:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "tests.drills.harness.balancer", str(port), *map(str, replicas)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(5)


def _until_balanced(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200:
                time.sleep(0.5)  # the other one, too
                return
        time.sleep(0.1)
    raise AssertionError("the balancer finds no replica that is ready")


DRILL = Drill(
    name="rolling_restarts",
    promise="Two replicas behind a balancer that watches /readyz, ten restarts by SIGTERM under 0.7c: none failed.",
    run=run,
    seconds=600,
)

if __name__ == "__main__":
    sys.exit(main([DRILL]))
