"""How fast the server is, and what it costs: one table, one file under benchmarks/results/.

    python -m benchmarks.serving                    starts a server, measures it, stops it: about 3 minutes
    python -m benchmarks.serving --seconds 3        the same, hastily
    python -m benchmarks.serving --only bare,rest   some of the paths
    python -m benchmarks.serving --url http://127.0.0.1:8080 --grpc 127.0.0.1:8081 --triton 127.0.0.1:8001 --pid 4711
                                                    a server that runs already
    python -m benchmarks.serving -- --max-in-flight 32    what follows `--` is passed to `fovea serve`

Paths: `bare` is DALI and OpenVINO in one process, the floor that every line is compared with; `triton` is Triton's own
gRPC port under NVIDIA's perf_analyzer; `rest` and `grpc` are the gateway's two faces.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks import machine, paths, perf_analyzer, photographs, report, server
from benchmarks.errors import BenchmarkError, LoadFailed, exit_code
from benchmarks.paths import PATHS, Measurement, Plan
from benchmarks.perf_analyzer import PerfAnalyzer
from benchmarks.photographs import CHECKOUT
from benchmarks.processes import Meter
from benchmarks.report import Result, Row
from benchmarks.server import Server

RESULTS = CHECKOUT / "benchmarks" / "results"
_WARM_UP = 2.0  # seconds of load before the first line of a path


def main() -> None:
    """Read the command line, find or start the server, measure, write, show."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, _stop_in_order)
    folder = arguments.images.resolve() if arguments.images else None
    plan = Plan(arguments.only, arguments.concurrency, arguments.seconds, folder, photographs.read(folder))
    # Fetched first: it is the likeliest to fail, and a server takes long to start.
    tool = perf_analyzer.fetch() if "triton" in plan.only and _has_triton(arguments) else None
    out = arguments.out or RESULTS / f"serving-{datetime.now(timezone.utc):%Y-%m-%d}-{machine.word()}.json"
    with _server(arguments) as under_test:
        result = measure(plan, under_test, tool, out.with_suffix(".partial.json"))
    report.write(result, out)
    out.with_suffix(".partial.json").unlink(missing_ok=True)
    report.show(result)
    _say(f"written to {_short(out)}")


def measure(plan: Plan, under_test: Server, tool: PerfAnalyzer | None, partial: Path) -> Result:
    """All lines of the plan, one after the other; `partial` always holds those that are done."""
    result = Result(_about(plan, under_test), [])
    try:
        for row in _rows(plan, under_test, tool):
            result = replace(result, rows=[*result.rows, row])
            report.write(result, partial)
    except (BenchmarkError, KeyboardInterrupt):
        if result.rows:
            report.show(result)
            _say(f"the lines that were done are in {_short(partial)}")
        raise
    return result


def _rows(plan: Plan, under_test: Server, tool: PerfAnalyzer | None) -> Iterator[Row]:
    if "bare" in plan.only:
        _say("bare loop ...")
        yield paths.bare_loop(plan, _precision(under_test))
    measurements = list(paths.measurements(plan, under_test, tool))
    warmed: set[str] = set()
    for number, wanted in enumerate(measurements, start=1):
        if wanted.path not in warmed:
            wanted.load(max(plan.concurrencies), _WARM_UP)
            warmed.add(wanted.path)
        _say(f"{number}/{len(measurements)}  {wanted.path}, {wanted.concurrency} at once, {plan.seconds:g} s ...")
        yield _row(wanted, plan.seconds, under_test.pid)


def _row(wanted: Measurement, seconds: float, pid: int | None) -> Row:
    if pid is None:
        load, cost = wanted.load(wanted.concurrency, seconds), None
    else:
        with Meter(pid) as meter:
            load = wanted.load(wanted.concurrency, seconds)
        cost = meter.cost
    if not load.images_per_second:
        raise LoadFailed(
            f"{wanted.path}, {wanted.concurrency} at once: no image was answered ({dict(load.errors)})",
            "read the server's log; run it longer with --seconds if it is only slow",
        )
    return Row(wanted.path, load, cost)


@contextlib.contextmanager
def _server(arguments: argparse.Namespace) -> Iterator[Server]:
    """The one that was named, or one of our own, or none where only the bare loop is wanted."""
    if arguments.url or arguments.grpc or arguments.triton:
        yield server.of_running(arguments.url, arguments.grpc, arguments.triton, arguments.pid)
    elif arguments.only == ("bare",):
        yield Server(None, None, None, None)
    else:
        _say("starting fovea serve ...")
        with server.started(arguments.serve, arguments.ready_timeout) as under_test:
            yield under_test
            _say("stopping it ...")


def _about(plan: Plan, under_test: Server) -> dict[str, Any]:
    return {
        "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "server": server.describe(under_test.triton) if under_test.triton else None,
        "photographs": {
            "source": plan.photographs.source,
            "count": len(plan.photographs.images),
            "mean_kilobytes": round(plan.photographs.mean_kilobytes),
        },
        "seconds": plan.seconds,
    }


def _precision(under_test: Server) -> str:
    """What the served model computes in, so that the bare loop does too; what this CPU prefers where nobody says."""
    return server.precision(under_test.rest) if under_test.rest else "auto"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seconds", type=_positive, default=8.0, help="of load for each line (default: 8)")
    add("--concurrency", type=_numbers, default=(1, 8, 32), help="requests under way at once (default: 1,8,32)")
    add("--only", type=_paths, default=PATHS, help=f"which paths, of {','.join(PATHS)} (default: all)")
    add("--images", type=Path, help="folder of photographs (default: ../shared/images, else the golden image)")
    add("--out", type=Path, help="result file (default: benchmarks/results/serving-<date>-<machine>.json)")
    add("--ready-timeout", type=_positive, default=120.0, help="seconds a started server may take (default: 120)")
    add("--url", help="gateway's REST address of a running server, such as http://127.0.0.1:8080")
    add("--grpc", help="gateway's gRPC address of a running server, such as 127.0.0.1:8081")
    add("--triton", help="Triton's gRPC address of a running server, such as 127.0.0.1:8001")
    add("--pid", type=int, help="of the running server, to account for its CPU and memory")
    add("serve", nargs="*", help="after `--`: further arguments for `fovea serve`")
    return parser


def _paths(text: str) -> tuple[str, ...]:
    wanted = tuple(text.split(","))
    if unknown := set(wanted) - set(PATHS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not one of {', '.join(PATHS)}")
    return wanted


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(number) for number in text.split(","))
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return numbers


def _positive(text: str) -> float:
    number = float(text)
    if number <= 0:
        raise argparse.ArgumentTypeError("more than 0")
    return number


def _has_triton(arguments: argparse.Namespace) -> bool:
    """Whether Triton will be reachable: always, unless other doors of a running server were named."""
    return bool(arguments.triton) or not (arguments.url or arguments.grpc)


def _stop_in_order(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _short(path: Path) -> Path:
    return path.relative_to(CHECKOUT) if path.is_relative_to(CHECKOUT) else path


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(main))
