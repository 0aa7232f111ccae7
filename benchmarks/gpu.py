"""What a GPU can do, and what fraction of it is served: one table, one file under benchmarks/results/.

    python -m benchmarks.gpu --images FOLDER        all of it, about 5 minutes
    python -m benchmarks.gpu --budget 240           what fits into four minutes: photographs as they are, one setting

Each stage is measured against the one it stands on: decoding alone, by the JPEG engines and by kernels; preprocessing;
the network by batch size; both in one process; Triton's ensemble under perf_analyzer, by instances of each stage; the
gateway over REST and gRPC. A line that fails is noted with the reason, and the rest goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks import gpu_photographs, gpu_servers, machine, paths, perf_analyzer, photographs
from benchmarks.errors import BenchmarkError, LoadFailed, exit_code
from benchmarks.gpu_meter import GpuMeter
from benchmarks.gpu_photographs import AS_GIVEN, SIZES
from benchmarks.gpu_servers import SWEEP, Setting
from benchmarks.paths import Measurement, Plan
from benchmarks.photographs import CHECKOUT
from benchmarks.processes import Meter
from benchmarks.server import Server
from fovea_pipelines.errors import NoGpu
from fovea_pipelines.gpu import driver, found

RESULTS = CHECKOUT / "benchmarks" / "results"
_LOADS = (1.0, 0.65, 0.0)  # of the JPEG engines: all, DALI's choice, none
_BATCHES = (1, 8, 32, 64, 128)
_CONCURRENCIES = (64, 256)
_AROUND_A_LIMIT = 40  # seconds at most: its process starts, meets every size of batch, and ends
_ENGINES = ("onnxruntime-gpu", "tensorrt", "nvidia-nvimgcodec-cu13", "nvidia-nvjpeg")
_BELOW = {"preprocess": "decode", "pipeline": "preprocess", "triton": "pipeline", "rest": "triton", "grpc": "triton"}


@dataclass(frozen=True)
class Line:
    """One measurement. `cpu_ms` is the host's CPU time an image, of what is measured and not of the load on it."""

    stage: str
    images: str
    setting: dict[str, Any]
    images_per_second: float
    p50_ms: float | None
    p99_ms: float | None
    cpu_ms: float | None
    gpu: dict[str, Any]


@dataclass
class Run:
    """What was measured so far, and until when there is time."""

    ends: float
    seconds: float
    out: Path
    about: dict[str, Any]
    lines: list[Line] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def has_time(self, seconds: float) -> bool:
        return time.monotonic() + seconds < self.ends

    def add(self, line: Line) -> None:
        self.lines.append(line)
        _say(f"{line.stage:11} {line.images:10} {_words(line.setting):58} {line.images_per_second:10.1f} images/s")
        self.write()

    def fail(self, what: str, error: Exception) -> None:
        self.failures.append(f"{what}: {error}")
        _say(f"error: {self.failures[-1]}")
        self.write()

    def best(self, stage: str, images: str) -> Line | None:
        lines = [line for line in self.lines if (line.stage, line.images) == (stage, images)]
        return max(lines, key=lambda line: line.images_per_second, default=None)

    def write(self) -> None:
        """Kept after each line, so that a run that is cut short has not been for nothing."""
        rows = [{**asdict(line), "of_limit": self.of_limit(line)} for line in self.lines]
        document = {**self.about, "lines": rows, "failures": self.failures}
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def of_limit(self, line: Line) -> float | None:
        """Its images/s as a fraction of the best of the stage below it, with the same images."""
        below = self.best(_BELOW[line.stage], line.images) if line.stage in _BELOW else None
        return round(line.images_per_second / below.images_per_second, 3) if below else None


def main() -> None:
    arguments = _parser().parse_args()
    try:
        gpu = found.first()
    except NoGpu as error:
        raise BenchmarkError(str(error), error.hint or "run it on a machine with an NVIDIA GPU") from error
    out = arguments.out or RESULTS / f"gpu-{datetime.now(timezone.utc):%Y-%m-%d}-{_slug(gpu.name)}.json"
    about = {
        "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "gpu": {**asdict(gpu), "compute_capability": driver.compute_capability()},
        "engines": {name: installed for name in _ENGINES if (installed := machine.version(name))},
        "machine": machine.describe(),
        "seconds": arguments.seconds,
    }
    run = Run(time.monotonic() + arguments.budget, arguments.seconds, out, about)
    folders = gpu_photographs.folders(arguments.images)
    about["photographs"] = {size: photographs.read(folder).describe() for size, folder in folders.items()}
    measure(run, folders)
    run.write()
    _show(run)


def measure(run: Run, folders: dict[str, Path]) -> None:
    """All about the photographs as they are, then about larger ones; no limit takes the time in which one is served."""
    serving = 60 + 8 * run.seconds

    def take(limits: Iterator[tuple[str, str, dict[str, Any]]]) -> None:
        for what, size, setting in limits:
            if run.has_time(run.seconds + _AROUND_A_LIMIT + serving):
                _limit(run, what, size, folders.get(size), setting)

    take(_limits(run, AS_GIVEN))
    take(_limits_of_the_network())
    load = _best_load(run, AS_GIVEN)
    for place, setting in enumerate(SWEEP):
        if run.has_time(serving):
            _serve(run, _with(setting, hardware_load=load), {AS_GIVEN: folders[AS_GIVEN]}, gateway=place == 0)
    for size in SIZES:
        if size != AS_GIVEN:
            take(_limits(run, size))
    chosen = SWEEP[0]
    if best := run.best("triton", AS_GIVEN):
        chosen = Setting(**{key: value for key, value in best.setting.items() if key != "concurrency"})
    if run.has_time(serving):
        _serve(run, chosen, folders, gateway=True)


def _limits(run: Run, size: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for load in _LOADS:
        yield "decode", size, {"hardware_load": load, "batch": 64, "workers": 2}
    load = _best_load(run, size)
    yield "preprocess", size, {"hardware_load": load, "batch": 64, "workers": 2}
    for workers in (2, 1, 4) if size == AS_GIVEN else (2,):
        yield "pipeline", size, {"hardware_load": load, "precision": "f32", "batch": 64, "workers": workers}


def _limits_of_the_network() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for batch in _BATCHES:
        yield "engine", "pixels", {"precision": "f32", "batch": batch, "workers": 1}
    yield "engine", "pixels", {"precision": "tf32", "batch": 64, "workers": 1}
    yield "engine", "pixels", {"precision": "f32", "batch": 64, "workers": 2}


def _best_load(run: Run, size: str) -> float:
    """The share of the JPEG engines with which most images of this size are decoded; DALI's choice before that."""
    best = run.best("decode", size)
    return float(best.setting["hardware_load"]) if best else 0.65


def _limit(run: Run, what: str, size: str, folder: Path | None, setting: dict[str, Any]) -> None:
    """In a process of its own, which gives the GPU's memory back."""
    words = [word for key, value in setting.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "benchmarks.gpu_limits", what, "--seconds", str(run.seconds), *words]
    command += ["--images", str(folder)] if folder else []
    try:
        done = subprocess.run(
            command, cwd=CHECKOUT, capture_output=True, text=True, timeout=run.seconds + _AROUND_A_LIMIT, check=True
        )
        limit = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.CalledProcessError as error:
        run.fail(
            f"{what}, {size}, {_words(setting)}", LoadFailed("; ".join(error.stderr.strip().splitlines()[-3:]), "")
        )
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        run.fail(f"{what}, {size}, {_words(setting)}", error)
    else:
        run.add(Line(what, size, setting, **limit))


def _serve(run: Run, setting: Setting, folders: dict[str, Path], *, gateway: bool) -> None:
    try:
        tool = perf_analyzer.fetch()
        with gpu_servers.started(setting) as under_test:
            for size, folder in folders.items():
                plan = Plan(
                    ("triton", "rest", "grpc") if gateway else ("triton",),
                    _CONCURRENCIES,
                    run.seconds,
                    photographs.read(folder),
                )
                for wanted in paths.measurements(plan, under_test, tool):
                    if run.has_time(2 * run.seconds + 15):
                        _load(run, wanted, setting, size, under_test)
    except BenchmarkError as error:
        run.fail(f"serving, {_words(asdict(setting))}", LoadFailed(f"{error} ({error.hint})", ""))


def _load(run: Run, wanted: Measurement, setting: Setting, size: str, under_test: Server) -> None:
    stage = {"Triton, gRPC": "triton", "gateway, REST": "rest", "gateway, gRPC": "grpc"}[wanted.path]
    try:
        wanted.load(1.0)  # warms up
        assert under_test.pid is not None
        with Meter(under_test.pid) as meter, GpuMeter() as gpu:
            load = wanted.load(run.seconds)
    except BenchmarkError as error:
        run.fail(f"{stage}, {size}, {_words(asdict(setting))}, {wanted.concurrency} at once", error)
        return
    cpu = round(1000 * meter.cost.cpu_seconds / load.served, 3) if load.served else None
    said = {**asdict(setting), "concurrency": wanted.concurrency}
    run.add(Line(stage, size, said, load.images_per_second, load.p50_ms, load.p99_ms, cpu, asdict(gpu.load)))


def _with(setting: Setting, **changes: Any) -> Setting:
    return Setting(**{**asdict(setting), **changes})


def _show(run: Run) -> None:
    print(
        f"{'stage':11} {'images':10} {'images/s':>10} {'p50 ms':>9} {'p99 ms':>9} {'CPU-ms':>8} {'GPU %':>6} "
        f"{'JPEG %':>6} {'MB':>7} {'of limit':>8}  setting"
    )
    for line in run.lines:
        numbers = (line.p50_ms, line.p99_ms, line.cpu_ms, line.gpu["kernels"], line.gpu["jpeg"], line.gpu["memory_mb"])
        cells = [
            ("-" if value is None else f"{value:g}").rjust(width)
            for value, width in zip((*numbers, run.of_limit(line)), (9, 9, 8, 6, 6, 7, 8), strict=True)
        ]
        print(
            f"{line.stage:11} {line.images:10} {line.images_per_second:10.1f} {' '.join(cells)}  {_words(line.setting)}"
        )
    for failure in run.failures:
        print(f"failed: {failure}")
    print(f"written to {run.out.relative_to(CHECKOUT) if run.out.is_relative_to(CHECKOUT) else run.out}")


def _words(setting: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in setting.items())


def _slug(name: str) -> str:
    return "-".join(name.lower().replace("nvidia", "").split()) or "gpu"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--images", type=Path, help="folder of photographs (default: ../shared/images, else the golden image)")
    add("--seconds", type=float, default=2.0, help="of load for each line (default: 2)")
    add("--budget", type=float, default=300.0, help="seconds for everything (default: 300)")
    add("--out", type=Path, help="result file (default: benchmarks/results/gpu-<date>-<GPU>.json)")
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(main))
