"""The floor: the same pixels and the same model in one process, with nobody to serve.

Run alone: `python -m benchmarks.bare_loop --precision bf16 --part network`.

Batches of eight go through DaliExecutor, then OpenVinoEngine, each on all cores. What a server adds to this is the
price of serving. The two stages are measured alone too, in the same way: what one takes longer inside Triton is
Triton's, or the other's.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks import photographs
from benchmarks.errors import BenchmarkError, exit_code
from benchmarks.photographs import MODEL
from benchmarks.processes import Meter
from benchmarks.rows import BARE, NETWORK, ONE_BY_ONE, PREPROCESSING, Row
from fovea_client.load.measured import summary
from fovea_client.load.photographs import Photograph

if TYPE_CHECKING:
    from fovea_pipelines.dali_executor import DaliExecutor
    from fovea_pipelines.openvino_engine import OpenVinoEngine
    from fovea_pipelines.preprocessed import Result

GENERATOR = "benchmarks.bare_loop"
BATCH = 8  # what Triton's configurations allow at most
PARTS = {"whole": BARE, "preprocessing": PREPROCESSING, "network": NETWORK, "one-by-one": ONE_BY_ONE}
_DECODED = 64  # photographs whose pixels the network alone is given in turn
_NAMED = 3  # photographs that cannot be decoded, the rest is counted


class Executor(Protocol):
    """What makes pixels of encoded images, or says why there are none."""

    def run(self, images: Sequence[NDArray[np.uint8]]) -> Sequence[Result]: ...


class CannotRun(BenchmarkError):
    """The executors or the model are not here."""


def measure(images: tuple[Photograph, ...], seconds: float, precision: str, part: str = "whole") -> Row:
    """Batch after batch for `seconds`, after a few that do not count. A batch's time is each of its images' time."""
    batch = 1 if part == "one-by-one" else BATCH
    one_batch = _batches(images, precision, part, batch)
    for _ in range(3):
        one_batch()
    latencies: list[float] = []
    with Meter(os.getpid()) as meter:
        cpu, began = time.process_time(), time.perf_counter()
        while (sent := time.perf_counter()) - began < seconds:
            one_batch()
            latencies += [time.perf_counter() - sent] * batch
        elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Row(PARTS[part], summary(GENERATOR, batch, elapsed, latencies, len(latencies), {}, cpu), meter.cost)


def _batches(images: tuple[Photograph, ...], precision: str, part: str, batch: int) -> Callable[[], object]:
    """What does the work of one batch of that part."""
    executor, engine = _stages(precision)
    given = itertools.cycle(images)

    def pixels(count: int) -> list[NDArray[np.uint8]]:
        return _pixels(executor, [next(given) for _ in range(count)], images)

    if part == "network":
        decoded = itertools.cycle([pixels(1)[0] for _ in range(min(_DECODED, len(images)))])
        return lambda: engine.run([next(decoded) for _ in range(batch)])
    if part == "preprocessing":
        return lambda: pixels(batch)
    return lambda: engine.run(pixels(batch))


def _pixels(executor: Executor, batch: Sequence[Photograph], images: Sequence[Photograph]) -> list[NDArray[np.uint8]]:
    from fovea_pipelines.preprocessed import Preprocessed

    results = executor.run(list(map(_encoded, batch)))
    pixels = [result.pixels for result in results if isinstance(result, Preprocessed)]
    if len(pixels) < len(batch):
        raise CannotRun(_unsound(executor, images), "take them out, or name a folder of sound ones with --images")
    return pixels


def _unsound(executor: Executor, images: Sequence[Photograph]) -> str:
    """How many photographs have no pixels, and the first of them with the decoder's reasons."""
    results = ((image.name, executor.run([_encoded(image)])[0]) for image in images)
    # In one line, as who reads an error from another process expects it.
    failed = [f"{name}: {' '.join(str(result).split())}" for name, result in results if isinstance(result, Exception)]
    more = f"; and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
    return f"{len(failed)} of {len(images)} photographs cannot be decoded: {'; '.join(failed[:_NAMED])}{more}"


def _encoded(image: Photograph) -> NDArray[np.uint8]:
    return np.frombuffer(image.encoded, np.uint8)


def _stages(precision: str) -> tuple[DaliExecutor, OpenVinoEngine]:
    try:
        from fovea_pipelines.dali_executor import DaliExecutor
        from fovea_pipelines.errors import PipelineError
        from fovea_pipelines.openvino_engine import OpenVinoEngine
        from fovea_pipelines.package import ModelPackage
        from fovea_pipelines.precision import artefact_of, choose
    except ImportError as error:
        raise CannotRun(f"{error.name} is not installed", "pip install -e '.[cpu]'") from error
    try:
        package = ModelPackage.read(MODEL)
        chosen = choose(package, precision)
        model = artefact_of(package, chosen)
    except PipelineError as error:
        raise CannotRun(str(error), error.hint or "") from error
    cores = len(os.sched_getaffinity(0))
    executor = DaliExecutor(package.contract, max_batch=BATCH, threads=cores)
    return executor, OpenVinoEngine(model, chosen, streams=cores)


def main() -> None:
    parser = argparse.ArgumentParser(description="DALI and OpenVINO in one process; prints one line of JSON.")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long (default: 8)")
    parser.add_argument(
        "--precision", choices=("auto", "f32", "bf16", "int8"), default="auto", help="of the model (default: auto)"
    )
    parser.add_argument("--part", choices=tuple(PARTS), default="whole", help="both stages, or one (default: whole)")
    parser.add_argument("--images", type=Path, help="folder of photographs (default: ../shared/images if it exists)")
    arguments = parser.parse_args()
    images = photographs.read(arguments.images).images
    print(measure(images, arguments.seconds, arguments.precision, arguments.part).to_json())


if __name__ == "__main__":
    sys.exit(exit_code(main))
