"""What the feature log costs: a record by itself, and the gateway with and without it, the model's cost taken out.

    python -m benchmarks.feature_log                 about 2 minutes
    python -m benchmarks.feature_log --seconds 2 --rounds 2    hastily

The two gateways answer in turn, and what is compared is the CPU time of their threads and the ratio of what they
answered, so that a machine others use spoils it less.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import echo_repository, paths, photographs, server
from benchmarks.errors import LoadFailed, exit_code
from benchmarks.paths import Plan
from benchmarks.photographs import CHECKOUT
from benchmarks.server import Server
from fovea_server.domain import (
    Answer,
    Deadline,
    ImageFacts,
    Inference,
    Model,
    ModelIdentity,
    Prediction,
    Quality,
    Question,
    Result,
    StageTimings,
    Timings,
)
from fovea_server.feature_log.callers import Pseudonyms
from fovea_server.feature_log.log import FeatureLog
from fovea_server.feature_log.note import NoLog, Note
from fovea_server.feature_log.places import Places
from fovea_server.feature_log.rows import Rows
from fovea_server.feature_log.settings import FeatureLogSettings
from fovea_server.metrics import Metrics

_IMAGE_BYTES = 110_000  # a photograph of the usual size
_SETTINGS = FeatureLogSettings("x", queue_records=1_000_000, queue_bytes=1 << 40)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.feature_log",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of load for each gateway in each round")
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _a_record(Path(folder))
        _gateways(Path(folder), arguments.seconds, arguments.rounds)


def _a_record(folder: Path) -> None:
    places = Places.of(str(folder / "alone"), folder)
    log = FeatureLog(places, _SETTINGS, Metrics(), lambda: [_MODEL])
    offered = _microseconds(lambda: _note(log.note), 2000)
    forgotten = _microseconds(lambda: _note(NoLog().note), 2000)
    notes = [_note(lambda question: Note(question, lambda note: None)) for _ in range(256)]
    rows = Rows(_SETTINGS, Pseudonyms(folder))
    hashed = _microseconds(lambda: [hashlib.sha256(_QUESTION.image) for _ in notes], 1) / len(notes)
    for note in notes:
        rows.hash(note)
    encoded = _microseconds(lambda: b"".join(each for row in rows.of(notes) for each in row.frames), 1) / len(notes)
    _say(
        f"offering a record: {offered:.1f} us of the event loop, of which the image's SHA-256 {hashed:.1f} us; "
        f"{forgotten:.1f} us where nothing is kept"
    )
    _say(f"encoding it: {encoded:.0f} us of the writer's thread")


def _gateways(folder: Path, seconds: float, rounds: int) -> None:
    echo_repository.write(CHECKOUT / "model_repository", folder / "echo")
    options = ["--repository", str(folder / "echo"), "--max-in-flight", "512"]
    plan = Plan(("rest",), (48,), seconds, photographs.read(None))
    kept = [*options, "--feature-log", str(folder / "log"), "--state", str(folder / "kept")]
    measured: dict[str, list[tuple[float, float, float]]] = {"without": [], "with": []}
    with (
        server.started([*options, "--state", str(folder / "plain")], timeout=120.0) as without,
        server.started(kept, timeout=120.0) as with_log,
    ):
        for number in range(rounds):
            order = [("without", without), ("with", with_log)]
            for name, under_test in order if number % 2 else reversed(order):
                measured[name].append(_load(plan, under_test))
    for name, lines in measured.items():
        rate, loop, threads = (statistics.median(values) for values in zip(*lines, strict=True))
        _say(f"{name:8}{rate:7.0f} requests/s, CPU us each: event loop {loop:.0f}, all threads {threads:.0f}")
    ratios = [kept[0] / plain[0] for plain, kept in zip(measured["without"], measured["with"], strict=True)]
    _say(f"requests/s with the log: {statistics.median(ratios):.3f} of those without (median of {len(ratios)} pairs)")


def _load(plan: Plan, under_test: Server) -> tuple[float, float, float]:
    """Requests/s, and microseconds of CPU time a request: of the event loop, and of all threads of the gateway."""
    (wanted,) = paths.measurements(plan, under_test, None)
    assert under_test.pid is not None
    wanted.load(0.5)
    before = _ticks(under_test.pid)
    load = wanted.load(plan.seconds)
    after = _ticks(under_test.pid)
    if not load.served:
        raise LoadFailed(f"no image was answered ({dict(load.errors)})", "read the server's log")
    tick = 1e6 / os.sysconf("SC_CLK_TCK")
    spent = {thread: (ticks - before.get(thread, 0)) * tick for thread, ticks in after.items()}
    return load.served / plan.seconds, spent[under_test.pid] / load.served, sum(spent.values()) / load.served


def _ticks(pid: int) -> dict[int, int]:
    """Of each thread, as proc(5) has them: utime and stime are the 14th and 15th field."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        found[int(task.name)] = int(fields[11]) + int(fields[12])
    return found


def _microseconds(work: Callable[[], object], times: int) -> float:
    """CPU time of this thread, the least of some rounds."""
    spent = []
    for _ in range(10):
        began = time.thread_time()
        for _ in range(times):
            work()
        spent.append((time.thread_time() - began) / times * 1e6)
    return min(spent)


_MODEL = Model(
    ModelIdentity("m", "1", "sha256:" + "0" * 64),
    *("p", "n", "e"),
    labels=tuple(f"label {number}" for number in range(1000)),
    features=1280,
    description="",
    licence="",
    engine="openvino int8",
)
_FACTS = ImageFacts("jpeg", 640, 480, 1, _IMAGE_BYTES)
_QUESTION = Question("a", os.urandom(_IMAGE_BYTES), (), 5, False, Deadline.after(10), time.monotonic())
_SCORES = np.full(1000, 0.001, np.float32)
_SAID = Inference(_SCORES, np.ones(1280, np.float32), np.ones(3, np.float32), None, None)
_BEST = tuple(Prediction(f"label {number}", number, 0.001) for number in range(5))
_RESULT = Result(_MODEL.identity, _BEST, Quality(0.5, 0.2, 80.0), None, StageTimings(1.0, 2.0))
_ANSWER = Answer("a", _FACTS, (_RESULT,), Timings(0.5, 1.5, 1.0, 2.0, 5.0))


def _note(make: Callable[[Question], Note]) -> Note:
    """What a request leaves, as the service notes it."""
    with make(_QUESTION) as note:
        note.models, note.facts, note.inferences, note.answer = (_MODEL,), _FACTS, (_SAID,), _ANSWER
    return note


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(main))
