"""The floor: the same pixels and the same model in one process, with nobody to serve.

Run alone: `python -m benchmarks.bare_loop --precision bf16`.

Batches of eight go through DaliExecutor, then OpenVinoEngine, each on all cores. What a server adds to this is the
price of serving.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import photographs
from benchmarks.errors import BenchmarkError, exit_code
from fovea_client.load.measured import summary
from benchmarks.photographs import CHECKOUT
from fovea_client.load.photographs import Photograph
from benchmarks.processes import Meter
from benchmarks.report import Row

GENERATOR = "benchmarks.bare_loop"
BATCH = 8  # what Triton's configurations allow at most
_MODEL = CHECKOUT / "model_repository" / "efficientnet_lite0"


class CannotRun(BenchmarkError):
    """The executors or the model are not here."""


def measure(images: tuple[Photograph, ...], seconds: float, precision: str) -> Row:
    """Batch after batch for `seconds`, after a few that do not count. A batch's time is each of its images' time."""
    try:
        from fovea_pipelines.dali_executor import DaliExecutor
        from fovea_pipelines.errors import PipelineError
        from fovea_pipelines.openvino_engine import OpenVinoEngine
        from fovea_pipelines.package import ModelPackage
        from fovea_pipelines.precision import artefact_of, choose
        from fovea_pipelines.preprocessed import Preprocessed
    except ImportError as error:
        raise CannotRun(f"{error.name} is not installed", "pip install -e '.[cpu]'") from error
    package = ModelPackage.read(_MODEL)
    try:
        chosen = choose(package, precision)
        model = artefact_of(package, chosen)
    except PipelineError as error:
        raise CannotRun(str(error), error.hint or "") from error
    cores = len(os.sched_getaffinity(0))
    executor = DaliExecutor(package.contract, max_batch=BATCH, threads=cores)
    engine = OpenVinoEngine(model, chosen, streams=cores)
    encoded = itertools.cycle([np.frombuffer(image.encoded, np.uint8) for image in images])

    def one_batch() -> float:
        began = time.perf_counter()
        results = executor.run([next(encoded) for _ in range(BATCH)])
        pixels = [result.pixels for result in results if isinstance(result, Preprocessed)]
        if len(pixels) < BATCH:
            raise CannotRun("a photograph cannot be decoded", "name a folder of sound ones with --images")
        engine.run(pixels)
        return time.perf_counter() - began

    for _ in range(3):
        one_batch()
    latencies: list[float] = []
    with Meter(os.getpid()) as meter:
        cpu, began = time.process_time(), time.perf_counter()
        while time.perf_counter() - began < seconds:
            latencies += [one_batch()] * BATCH
        elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Row("bare loop", summary(GENERATOR, BATCH, elapsed, latencies, len(latencies), {}, cpu), meter.cost)


def main() -> None:
    parser = argparse.ArgumentParser(description="DALI and OpenVINO in one process; prints one line of JSON.")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long (default: 8)")
    parser.add_argument(
        "--precision", choices=("auto", "f32", "bf16", "int8"), default="auto", help="of the model (default: auto)"
    )
    parser.add_argument("--images", type=Path, help="folder of photographs (default: ../shared/images if it exists)")
    arguments = parser.parse_args()
    images = photographs.read(arguments.images).images
    print(measure(images, arguments.seconds, arguments.precision).to_json())


if __name__ == "__main__":
    sys.exit(exit_code(main))
