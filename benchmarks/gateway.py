"""What the gateway alone carries: requests/s and CPU time by process, with the model's cost taken out.

    python -m benchmarks.gateway                     1 and 2 gateway processes over REST and gRPC: about 2 minutes
    python -m benchmarks.gateway --workers 1,2,4     on a machine with more cores
    python -m benchmarks.gateway --seconds 3 --rounds 1    hastily

A real tritonserver answers a constant (echo_repository.py). What limits a line is then the gateway, or the machine: the
load generator, tritonserver and its Python process run on the same cores, and the table says how busy each was. The
order of the lines is reversed from round to round, so that drift shows.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks import echo_repository, gateway_report, machine, paths, photographs, server
from benchmarks.errors import LoadFailed, exit_code
from benchmarks.gateway_report import Line
from benchmarks.paths import Plan
from benchmarks.photographs import CHECKOUT
from benchmarks.processes import Meter, by_role
from benchmarks.server import Server

RESULTS = CHECKOUT / "benchmarks" / "results"
_FACES = ("rest", "grpc")
_WARM_UP = 1.0  # seconds of load before each line


def main() -> None:
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, _stop_in_order)
    plan = Plan(_FACES, (arguments.concurrency,), arguments.seconds, photographs.read(arguments.images))
    out = arguments.out or RESULTS / f"gateway-{datetime.now(timezone.utc):%Y-%m-%d}-{machine.word()}.json"
    lines: list[Line] = []
    try:
        for line in _lines(plan, arguments.workers, arguments.rounds):
            lines.append(line)
            gateway_report.write(_about(plan), lines, out)
    finally:
        if lines:
            gateway_report.show(lines)
            _say(f"written to {out.relative_to(CHECKOUT) if out.is_relative_to(CHECKOUT) else out}")


def _lines(plan: Plan, workers: tuple[int, ...], rounds: int) -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder, "echo")
        echo_repository.write(CHECKOUT / "model_repository", repository)
        for number in range(rounds):
            for count in workers if number % 2 == 0 else reversed(workers):
                _say(f"round {number + 1}/{rounds}: fovea serve --workers {count} ...")
                # More slots than callers, so that admission makes nobody wait.
                options = ["--repository", str(repository), "--workers", str(count), "--max-in-flight", "512"]
                with server.started(options, timeout=120.0) as under_test:
                    yield from _of_server(plan, under_test, count)


def _of_server(plan: Plan, under_test: Server, workers: int) -> Iterator[Line]:
    assert under_test.pid is not None
    for wanted in paths.measurements(plan, under_test, None):
        wanted.load(_WARM_UP)
        before = by_role(under_test.pid)
        with Meter(under_test.pid) as meter:
            load = wanted.load(plan.seconds)
        after = by_role(under_test.pid)
        if not load.served:
            raise LoadFailed(f"{wanted.words}: no image was answered ({dict(load.errors)})", "read the server's log")
        spent = {role: seconds - before.get(role, 0.0) for role, seconds in after.items()}
        yield Line(wanted.path, workers, load, meter.cost, spent, plan.seconds)


def _about(plan: Plan) -> dict[str, Any]:
    return {
        "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "photographs": plan.photographs.describe(),
        "seconds": plan.seconds,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gateway", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--workers", type=_numbers, default=(1, 2), help="gateway processes (default: 1,2)")
    add("--seconds", type=float, default=6.0, help="of load for each line (default: 6)")
    add("--rounds", type=int, default=2, help="how often all of it is repeated (default: 2)")
    add("--concurrency", type=int, default=64, help="callers, one connection each (default: 64)")
    add("--images", type=Path, help="folder of photographs (default: ../shared/images, else the golden image)")
    add("--out", type=Path, help="result file (default: benchmarks/results/gateway-<date>-<machine>.json)")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(number) for number in text.split(","))
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return numbers


def _stop_in_order(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(main))
