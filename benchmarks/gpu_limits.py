"""What the GPU can do with nobody to serve: decode alone, preprocess, infer, and both in one process.

Run alone: `python -m benchmarks.gpu_limits decode --images FOLDER --hardware-load 1`. Prints one line of JSON.

Each worker is a thread with a pipeline of its own, so that one prepares a batch while another's is on the GPU.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali.pipeline import Pipeline

from benchmarks import photographs
from benchmarks.errors import BenchmarkError, exit_code
from benchmarks.gpu_meter import GpuLoad, GpuMeter
from benchmarks.photographs import CHECKOUT
from fovea_client.load.measured import percentile
from fovea_pipelines import dali_graph
from fovea_pipelines.dali_executor import DaliGpuExecutor, Device, OnDevice
from fovea_pipelines.dali_graph import OnGpu
from fovea_pipelines.engines.onnxruntime_engine import OnnxRuntimeEngine
from fovea_pipelines.gpu.device_tensor import CUDA, DeviceTensor
from fovea_pipelines.package import ModelPackage

Step = Callable[[], int]  # does one batch, says how many images that was
_WARM_UP = 3  # batches that do not count
_PACKAGE = CHECKOUT / "model_repository" / "efficientnet_lite0"


@dataclass(frozen=True)
class Limit:
    """`p50_ms` and `p99_ms` are of a batch; `cpu_ms` is this process's CPU time an image."""

    images_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    gpu: GpuLoad


def measure(steps: list[Step], seconds: float) -> Limit:
    """Each step over and over in a thread of its own, for `seconds`."""
    for step in steps:
        for _ in range(_WARM_UP):
            step()
    done: list[tuple[float, int]] = []
    ends = time.perf_counter() + seconds
    threads = [threading.Thread(target=_repeat, args=(step, ends, done)) for step in steps]
    with GpuMeter() as meter:
        cpu, began = time.process_time(), time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
    images, times = sum(count for _, count in done), sorted(took for took, _ in done)
    if not images:
        raise BenchmarkError("no batch was done in time", "measure longer, with --seconds")
    return Limit(
        round(images / elapsed, 1),
        round(1000 * percentile(times, 50), 3),
        round(1000 * percentile(times, 99), 3),
        round(1000 * cpu / images, 4),
        meter.load,
    )


def _repeat(step: Step, ends: float, done: list[tuple[float, int]]) -> None:
    while (began := time.perf_counter()) < ends:
        count = step()
        done.append((time.perf_counter() - began, count))


def decode(images: list[Any], batch: int, threads: int, hardware_load: float) -> Step:
    """DALI's decoder and nothing else."""
    pipeline = Pipeline(batch, threads, 0, prefetch_queue_depth=1, exec_dynamic=True)
    with pipeline:
        source = fn.external_source(name="IMAGE", device="cpu", dtype=types.UINT8, ndim=1)
        pipeline.set_outputs(dali_graph.decoded(source, OnGpu(hardware_load=hardware_load)))
    pipeline.build()
    batches = _batches(images, batch)

    def step() -> int:
        pipeline.feed_input("IMAGE", next(batches))
        pipeline.run()
        return batch

    return step


def preprocess(images: list[Any], batch: int, threads: int, hardware_load: float) -> Step:
    """All that the contract says."""
    run = _preprocessing(images, batch, threads, hardware_load)
    return lambda: len(run())


def pipeline(images: list[Any], batch: int, threads: int, hardware_load: float, precision: str) -> Step:
    """Preprocessing and the network, with the pixels left on the GPU between them."""
    run = _preprocessing(images, batch, threads, hardware_load)
    network = OnnxRuntimeEngine(ModelPackage.read(_PACKAGE).onnx.path, batch, precision=precision)
    return lambda: len(network.run(run()))


def engine(batch: int, precision: str) -> Step:
    """The network alone, on pixels that lie on the GPU."""
    from fovea_pipelines.gpu.driver import Memory, Stream

    pixels = np.random.default_rng(0).integers(0, 256, (batch, 224, 224, 3), dtype=np.uint8)
    memory, stream = Memory(pixels.nbytes), Stream()
    stream.copy(memory.address, pixels.ctypes.data, pixels.nbytes)
    stream.wait()
    tensor = DeviceTensor(memory.address, pixels.shape, pixels.dtype, (CUDA, 0), memory)
    network = OnnxRuntimeEngine(ModelPackage.read(_PACKAGE).onnx.path, batch, precision=precision)
    return lambda: len(network.run([tensor]))


def _preprocessing(
    images: list[Any], batch: int, threads: int, hardware_load: float
) -> Callable[[], list[DeviceTensor]]:
    contract = ModelPackage.read(_PACKAGE).contract
    executor = DaliGpuExecutor(contract, batch, threads, Device(decoding=OnGpu(hardware_load=hardware_load)))
    batches = _batches(images, batch)

    def run() -> list[DeviceTensor]:
        results = executor.run(next(batches))
        pixels = [result.pixels for result in results if isinstance(result, OnDevice)]
        if len(pixels) < batch:
            raise BenchmarkError("a photograph cannot be decoded", "name a folder of sound ones with --images")
        return pixels

    return run


def _batches(images: list[Any], batch: int) -> Iterator[list[Any]]:
    endless = itertools.cycle(images)
    while True:
        yield list(itertools.islice(endless, batch))


def main() -> None:
    parser = argparse.ArgumentParser(description="One limit of this machine's GPU; prints one line of JSON.")
    add = parser.add_argument
    add("what", choices=("decode", "preprocess", "engine", "pipeline"))
    add("--images", type=Path, help="folder of photographs (default: ../shared/images if it exists)")
    add("--batch", type=int, default=64)
    add("--workers", type=int, default=2, help="threads, each with a pipeline of its own (default: 2)")
    add("--threads", type=int, default=8, help="of each pipeline, on the host (default: 8)")
    add("--hardware-load", type=float, default=0.65, help="share of the JPEG engines (default: 0.65)")
    add("--precision", default="f32", help="f32 or tf32 (default: f32)")
    add("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    steps = [_step(arguments) for _ in range(arguments.workers)]
    print(json.dumps(asdict(measure(steps, arguments.seconds))))


def _step(arguments: argparse.Namespace) -> Step:
    if arguments.what == "engine":
        return engine(arguments.batch, arguments.precision)
    images = [np.frombuffer(image.encoded, np.uint8) for image in photographs.read(arguments.images).images]
    words = (images, arguments.batch, arguments.threads, arguments.hardware_load)
    if arguments.what == "pipeline":
        return pipeline(*words, arguments.precision)
    return {"decode": decode, "preprocess": preprocess}[arguments.what](*words)


if __name__ == "__main__":
    sys.exit(exit_code(main))
