"""A model's process dies in four ways, five times each, under load: `python -m tests.drills.backend_killed`."""

from __future__ import annotations

import functools
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import psutil
from tests.conftest import ROOT, children_running
from tests.drills.harness import odd_images, open_loop
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import Drill
from tests.drills.harness.figures import Figure, at_most, none_of
from tests.drills.harness.readiness import ReadinessLog
from tests.drills.harness.records import Records
from tests.drills.harness.running import main
from tests.e2e.served import Served

_APART = 6.0  # seconds between two deaths
_LOOK = 0.1  # seconds that readiness may be seen late
_MORE = 16 << 20  # bytes; the image needs 36,000,000
_TRAPPED = """\
import os
from pathlib import Path

from fovea_pipelines.triton_models import DecodeAndInfer

_TRAP = Path({trap!r})


class TritonPythonModel(DecodeAndInfer):
    def execute(self, requests):
        try:
            _TRAP.unlink()
        except FileNotFoundError:
            return super().execute(requests)
        os._exit(3)
"""


def run(bench: Bench) -> list[Figure]:
    times = bench.scale.pick(full=5, short=1)
    with tempfile.TemporaryDirectory() as folder:
        trap = Path(folder, "trap")
        server = bench.another(f"--repository={_trapped_repository(Path(folder), trap)}", "--crash-loop-deaths=100")
        ways: dict[str, Callable[[], object]] = {
            "SIGKILL": lambda: _process(server).send_signal(signal.SIGKILL),
            "SIGSEGV": lambda: _process(server).send_signal(signal.SIGSEGV),
            "exit": trap.touch,
            "memory limit": functools.partial(_out_of_memory, server, odd_images.large_png()),
        }
        return [figure for way, die in ways.items() for figure in _drill(bench, server, way, die, times)]


def _drill(bench: Bench, server: Served, way: str, die: Callable[[], object], times: int) -> list[Figure]:
    seconds = times * _APART + 2
    with (
        ReadinessLog(server.url) as readiness,
        open_loop.load(server.rest_port, bench.requests(), [(0.5 * bench.c, seconds)]) as load,
    ):
        moments = [_at(load.begins + 1 + _APART * each, die) for each in range(times)]
        records = load.wait()
    ends = [*moments[1:], float("inf")]
    looks = [readiness.not_ready_after(moment, end) for moment, end in zip(moments, ends, strict=True)]
    lost = [_lost(records, moment, end) for moment, end in zip(moments, ends, strict=True)]
    # A process that dumps its core takes a moment to die; what came until its end was noticed was in flight with it.
    noticed = [moment + down for moment, (down, _) in zip(moments, looks, strict=True)]
    beyond = [number - _in_flight(records, moment) for number, moment in zip(lost, noticed, strict=True)]
    bench.note(
        **{
            f"{way}_outcomes": records.outcomes(),
            f"{way}_lost": lost,
            f"{way}_back_s": [round(back, 2) for _, back in looks],
        }
    )
    refused = {word: n for word, n in records.outcomes().items() if word not in ("200 1", "503 NOT_READY")}
    return [
        at_most(f"{way}: not ready after", 2, max(down for down, _ in looks), "s", timed=True),
        at_most(f"{way}: ready again after", 3, max(back for _, back in looks), "s", timed=True),
        at_most(f"{way}: lost beyond those in flight", 0, max(beyond), timed=True),
        none_of(f"{way}: losses that are not UNAVAILABLE", refused),
    ]


def _at(moment: float, act: Callable[[], object]) -> float:
    time.sleep(max(moment - time.monotonic(), 0))
    now = time.monotonic()
    act()
    return now


def _in_flight(records: Records, moment: float) -> int:
    """Sent before, answered after, or refused a little before: readiness is looked at fifty times a second."""
    done = records.rows["done"] + np.where(records.rows["status"] == 200, 0, _LOOK)
    return int(((records.rows["sent"] <= moment) & ~(done <= moment)).sum())


def _lost(records: Records, begin: float, end: float) -> int:
    done = records.done_between(begin, end)
    return len(done) - len(done.good)


def _process(server: Served) -> psutil.Process:
    return _processes(server)[0]


def _processes(server: Served) -> list[psutil.Process]:
    """Those that decode and infer."""
    return children_running("/classify_efficientnet_lite0/", server.triton().pid)


def _out_of_memory(server: Served, large: bytes) -> None:
    """From now on they get hardly more address space than they have; then comes an image that needs more.

    The hard limit stays, or a process that lives on could not be given another soft one.
    """
    for process in _processes(server):
        limit = process.memory_info().vms + _MORE
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_AS)
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, hard))
    httpx.post(f"{server.url}/v1/classify", content=large, timeout=30)


def _trapped_repository(folder: Path, trap: Path) -> Path:
    """As in the checkout, but for a decoder that ends itself where the trap lies."""
    repository = Path(shutil.copytree(ROOT / "model_repository", folder / "repository"))
    (repository / "classify_efficientnet_lite0/1/model.py").write_text(_TRAPPED.format(trap=str(trap)))
    return repository


DRILL = Drill(
    name="backend_killed",
    promise="A model's process is killed, crashes, exits or gets no more memory, five times each under 0.5c: not ready "
    "within 2 s, back within 3 s, nothing lost but what was in flight, and that told as UNAVAILABLE.",
    run=run,
    twin="tests/e2e/test_failures.py",
    seconds=480,
)

if __name__ == "__main__":
    sys.exit(main([DRILL]))
