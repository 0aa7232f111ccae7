"""How fast the server is, and what it costs: one table, one file and one chart under benchmarks/results/.

    python -m benchmarks.serving                    starts a server, measures it, stops it, three times: 8 minutes
    python -m benchmarks.serving --seconds 3        the same, hastily
    python -m benchmarks.serving --only bare,rest   some of the paths
    python -m benchmarks.serving --url http://127.0.0.1:8080 --grpc 127.0.0.1:8081 --triton 127.0.0.1:8001 --pid 4711
                                                    a server that runs already
    python -m benchmarks.serving -- --max-in-flight 32    what follows `--` is passed to `fovea serve`

Paths: `bare` is DALI and OpenVINO in one process, the floor that every line is compared with, and each of the two
alone; `triton` is Triton's own gRPC port under NVIDIA's perf_analyzer; `rest` and `grpc` are the gateway's two faces,
in closed loops and then in open ones at shares of the most images/s that they reached.

Everything is measured once a round, in the same order, so that a machine that changes meanwhile shows. Ratios are to
the bare loops before and after a path in the same round, a quarter of a minute apart.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from benchmarks import chart, machine, perf_analyzer, photographs, report, rounds, server, table
from benchmarks.errors import BenchmarkError, LoadFailed, exit_code
from benchmarks.paths import PATHS, Plan
from benchmarks.perf_analyzer import PerfAnalyzer
from benchmarks.photographs import CHECKOUT
from benchmarks.report import RESULTS, Serving
from benchmarks.rounds import say
from benchmarks.server import Server


def main() -> None:
    """Read the command line, measure, write, show."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, _stop_in_order)
    plan = Plan(
        arguments.only,
        arguments.concurrency,
        arguments.seconds,
        photographs.read(arguments.images.resolve() if arguments.images else None),
        arguments.open,
    )
    # Fetched first: it is the likeliest to fail, and a server takes long to start.
    tool = perf_analyzer.fetch() if "triton" in plan.only and _has_triton(arguments) else None
    out = arguments.out or RESULTS / f"serving-{datetime.now(timezone.utc):%Y-%m-%d}-{machine.word()}.json"
    result = _measured(arguments, plan, tool, out.with_suffix(".partial.json"))
    report.write(result, out)
    report.write_text(chart.draw(result.document()), out.with_suffix(".svg"))
    out.with_suffix(".partial.json").unlink(missing_ok=True)
    table.show(result)
    say(f"written to {_short(out)} and {out.with_suffix('.svg').name}")


def _measured(arguments: argparse.Namespace, plan: Plan, tool: PerfAnalyzer | None, partial: Path) -> Serving:
    """All rounds; `partial` always holds the lines that are done."""
    result = None
    try:
        for result in rounds.measured(plan, arguments.rounds, lambda: _server(arguments), tool):
            report.write(result, partial)
    except (BenchmarkError, KeyboardInterrupt):
        if result:
            table.show(result)
            say(f"the lines that were done are in {_short(partial)}")
        raise
    if result is None or not result.rows:
        raise LoadFailed("there was nothing to measure", "name other paths with --only")
    return result


@contextlib.contextmanager
def _server(arguments: argparse.Namespace) -> Iterator[Server]:
    """The one that was named, or one of our own, or none where only the bare loop is wanted."""
    if arguments.url or arguments.grpc or arguments.triton:
        yield server.of_running(arguments.url, arguments.grpc, arguments.triton, arguments.pid)
    elif arguments.only == ("bare",):
        yield Server(None, None, None, None)
    else:
        say("starting fovea serve ...")
        with server.started(arguments.serve, arguments.ready_timeout) as under_test:
            yield under_test
            say("stopping it ...")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seconds", type=_positive, default=4.0, help="of load for each line of each round (default: 4)")
    add("--rounds", type=_count, default=3, help="how often everything is measured (default: 3)")
    add("--concurrency", type=_numbers, default=(1, 8, 32), help="requests under way at once (default: 1,8,32)")
    add(
        "--open",
        type=_shares,
        default=(0.5, 0.7, 0.9),
        help="open loops at these percentages of saturation, 0 for none (default: 50,70,90)",
    )
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


def _count(text: str) -> int:
    (number,) = _numbers(text)
    return number


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(number) for number in text.split(","))
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return numbers


def _shares(text: str) -> tuple[float, ...]:
    return tuple(_positive(percent) / 100 for percent in text.split(",")) if text != "0" else ()


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


if __name__ == "__main__":
    sys.exit(exit_code(main))
