"""How we compare: the same model and photographs behind FastAPI, LitServe, BentoML and MLServer, and behind ours.

    python -m benchmarks.peers                          installs, starts, measures and stops one after the other
    python -m benchmarks.peers --seconds 2 --only fastapi
    python -m benchmarks.peers --precision int8         the model in 8-bit integers on both sides
    python -m benchmarks.peers --large                  FastAPI and ours with photographs of 12 megapixels

Everybody is measured in four rounds, back and forth. Ours is there twice: in the precision of the others, and in the
one it would choose itself.
"""

from __future__ import annotations

import argparse
import signal
import sys
from datetime import datetime, timezone
from pathlib import Path

from benchmarks import enlarged, goals, machine, photographs, report
from benchmarks.errors import BenchmarkError, exit_code
from benchmarks.peers import agreement, contest, environments, table
from benchmarks.peers.catalogue import NAMES
from benchmarks.peers.contest import Plan
from benchmarks.peers.running import Graph
from benchmarks.peers.table import Comparison
from benchmarks.photographs import CHECKOUT
from benchmarks.report import RESULTS
from fovea_pipelines import precision as precisions
from fovea_pipelines.errors import PipelineError
from fovea_pipelines.package import ModelPackage

_MODEL = photographs.MODEL
_LARGE = ("fastapi",)  # with large photographs it is decoding that differs, and the others decode as this one does


def main() -> None:
    """Read the command line, measure everybody, write, show."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, _stop_in_order)
    package, precision, default, graph = _model(arguments.precision)
    only = arguments.only or (_LARGE if arguments.large else NAMES)
    plan = _plan(arguments, package, precision, graph)
    kind = "peers-12mp" if arguments.large else "peers"
    out = arguments.out or RESULTS / f"{kind}-{datetime.now(timezone.utc):%Y-%m-%d}-{machine.word()}.json"
    partial = out.with_suffix(".partial.json")
    result = Comparison(_about(plan, only, precision, default), [], contest.our_title(precision))
    for so_far in contest.measured(plan, contest.contestants(only, precision, default, graph), result):
        result = so_far
        report.write(result, partial)
    report.write(result, out)
    partial.unlink(missing_ok=True)
    table.show(result, goals.of_large_photographs if arguments.large else goals.of_peers)
    contest.say(f"written to {out.relative_to(CHECKOUT) if out.is_relative_to(CHECKOUT) else out}")
    if result.ours in result.absent:
        raise BenchmarkError(f"{result.ours} is missing: {result.absent[result.ours]}", "does `make serve` start it?")


def _model(wanted: str | None) -> tuple[ModelPackage, str, str, Graph]:
    """The package, the precision of this run, the one that ours would choose, and the graph for all."""
    try:
        package = ModelPackage.read(_MODEL)
        default = precisions.choose(package)
        # What OpenVINO itself would do with a graph of floats, where nobody asks for anything.
        precision = precisions.choose(package, wanted or precisions.of_floats("int8"))
        graph = Graph(precisions.artefact_of(package, precision), precisions.of_floats(precision))
    except PipelineError as error:
        raise BenchmarkError(str(error), error.hint or "build it with `fovea models build`") from error
    return package, precision, default, graph


def _plan(arguments: argparse.Namespace, package: ModelPackage, precision: str, graph: Graph) -> Plan:
    found = (enlarged.twelve_megapixels if arguments.large else photographs.read)(arguments.images)
    sample = agreement.sample(found.images, found.path)
    return Plan(
        arguments.seconds or (8.0 if arguments.large else 3.0),
        found,
        sample,
        agreement.reference(sample, package, graph.path, precision),
    )


def _about(plan: Plan, only: tuple[str, ...], precision: str, default: str) -> dict[str, object]:
    return {
        "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "photographs": plan.photographs.describe(),
        "seconds": plan.seconds,
        "rounds": contest.ROUNDS,
        "precision": precision,
        "our_default_precision": default,
        "versions": {name: environments.versions(name) for name in only},
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seconds", type=_positive, help="of load for each line of each round (default: 3, or 8 with --large)")
    add("--only", type=_names, help=f"which peers, of {','.join(NAMES)} (default: all)")
    add("--large", action="store_true", help="photographs of 12 megapixels, made from the others; FastAPI and ours")
    add("--precision", choices=("auto", *precisions.PRECISIONS), help="on both sides (default: the fastest of floats)")
    add("--images", type=Path, help="folder of photographs (default: ../shared/images, else the golden image)")
    add("--out", type=Path, help="result file (default: benchmarks/results/peers[-12mp]-<date>-<machine>.json)")
    return parser


def _names(text: str) -> tuple[str, ...]:
    wanted = tuple(text.split(","))
    if unknown := set(wanted) - set(NAMES):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not one of {', '.join(NAMES)}")
    return wanted


def _positive(text: str) -> float:
    number = float(text)
    if number <= 0:
        raise argparse.ArgumentTypeError("more than 0")
    return number


def _stop_in_order(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(exit_code(main))
