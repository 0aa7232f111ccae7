"""What the feature log costs: a record by itself; the gateway with and without it, the model's cost taken out; and
the whole server, as `fovea serve` starts it, with and without it.

    python -m benchmarks.feature_log                 about 10 minutes
    python -m benchmarks.feature_log --seconds 2 --rounds 2    hastily

The two servers of a comparison answer in turn, and ratios are taken within each turn, so that a machine others use
spoils them less; the standard error says how much it still does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks import echo_repository, paths, photographs, server
from benchmarks.errors import LoadFailed, exit_code
from benchmarks.paths import Plan
from benchmarks.photographs import CHECKOUT
from benchmarks.processes import GATEWAY, KEEPER, by_role
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
_Who = TypeVar("_Who")
_Figures = tuple[float, ...]
_SETTINGS = FeatureLogSettings("x", queue_records=1_000_000, queue_bytes=1 << 40)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.feature_log",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of load for each gateway in each round")
    parser.add_argument("--rounds", type=int, default=40, help="of the whole server; a quarter of them of the gateway")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _a_record(Path(folder))
        _gateways(Path(folder), arguments.seconds, max(arguments.rounds // 4, 2))
        _whole(Path(folder), arguments.seconds, max(arguments.rounds, 2))


def _a_record(folder: Path) -> None:
    places = Places.of(str(folder / "alone"), folder)
    log = FeatureLog(places, _SETTINGS, Metrics(), lambda: [_MODEL])
    offered = _microseconds(lambda: _note(log.note), 2000)
    forgotten = _microseconds(lambda: _note(NoLog().note), 2000)
    note = _note(lambda question: Note(question, lambda note: None))
    rows = Rows(_SETTINGS, Pseudonyms(folder))
    hashed = _microseconds(note.hash, 2000)
    encoded = _microseconds(lambda: rows.of(note), 2000)
    _say(
        f"a record: {offered:.1f} us of the event loop, of which the image's SHA-256 {hashed:.1f} us, encoding it "
        f"{encoded:.1f} us; {forgotten:.1f} us where nothing is kept"
    )


def _gateways(folder: Path, seconds: float, rounds: int) -> None:
    echo_repository.write(CHECKOUT / "model_repository", folder / "echo")
    options = ["--repository", str(folder / "echo"), "--max-in-flight", "512"]
    plan = Plan(("rest",), (48,), seconds, photographs.read(None))
    kept = [*options, "--feature-log", str(folder / "log")]
    pairs = _in_turn(options, kept, rounds, lambda under_test: _load(plan, under_test))
    for name, measured in zip(("without", "with"), zip(*pairs, strict=True), strict=True):
        rate, loop, threads = (statistics.median(values) for values in zip(*measured, strict=True))
        _say(f"{name:8}{rate:7.0f} requests/s, CPU us each: event loop {loop:.0f}, all threads {threads:.0f}")
    ratios = [with_log[0] / without[0] for without, with_log in pairs]
    _say(f"requests/s with the log: {statistics.median(ratios):.3f} of those without (median of {len(ratios)} pairs)")


def _whole(folder: Path, seconds: float, rounds: int) -> None:
    plan = Plan(("rest",), (32,), seconds, photographs.read(None))
    kept = ["--feature-log", str(folder / "whole")]
    pairs = _in_turn([], kept, rounds, lambda under_test: _load_whole(plan, under_test))
    rates, logging, everything = zip(*(without for without, _ in pairs), strict=True)
    ratio, error = _mean([with_log[0] / without[0] for without, with_log in pairs])
    _say(
        f"whole server: {statistics.mean(rates):.1f} images/s without, {ratio:.3f} times that with the log "
        f"(mean of {len(pairs)} pairs, standard error {error:.3f})"
    )
    more, error = _mean([with_log[1] - without[1] for without, with_log in pairs])
    usual = statistics.mean(everything)
    _say(
        f"whole server: gateway and keeper take {statistics.mean(logging):.0f} us of CPU time an image without, "
        f"{more:.0f} more with the log (standard error {error:.0f}): {more / usual:.1%} of the {usual:.0f} of all"
    )


def _mean(values: list[float]) -> tuple[float, float]:
    """With its standard error."""
    return statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5


def _in_turn(
    plain: list[str], kept: list[str], rounds: int, load: Callable[[Server], _Figures]
) -> list[tuple[_Figures, _Figures]]:
    """What `load` measures in each round of a server started with the options `plain`, and of one with `kept`."""
    pairs = []
    with server.started(plain, timeout=120.0) as without, server.started(kept, timeout=120.0) as with_log:
        for number in range(rounds):
            if number % 2:
                pairs.append((load(without), load(with_log)))
            else:
                last = load(with_log)
                pairs.append((load(without), last))
    return pairs


def _load(plan: Plan, under_test: Server) -> _Figures:
    """Requests/s, and microseconds of CPU time a request: of the event loop, and of all threads of the gateway."""
    served, spent = _loaded(plan, under_test, _ticks)
    tick = 1e6 / os.sysconf("SC_CLK_TCK")
    return served / plan.seconds, spent[under_test.pid] * tick / served, sum(spent.values()) * tick / served


def _load_whole(plan: Plan, under_test: Server) -> _Figures:
    """Images/s, and microseconds of CPU time an image: of gateway and keeper, and of all processes."""
    served, spent = _loaded(plan, under_test, by_role)
    logging = sum(seconds for role, seconds in spent.items() if role.startswith((GATEWAY, KEEPER)))
    return served / plan.seconds, logging * 1e6 / served, sum(spent.values()) * 1e6 / served


def _loaded(
    plan: Plan, under_test: Server, spent: Callable[[int], Mapping[_Who, float]]
) -> tuple[int, Mapping[_Who, float]]:
    """How many were answered, and what each spent meanwhile."""
    assert under_test.pid is not None
    (wanted,) = paths.measurements(plan, under_test, None)
    wanted.load(0.5)
    before = spent(under_test.pid)
    load = wanted.load(plan.seconds)
    after = spent(under_test.pid)
    if not load.served:
        raise LoadFailed(f"no image was answered ({dict(load.errors)})", "read the server's log")
    return load.served, {who: value - before.get(who, 0) for who, value in after.items()}


def _ticks(pid: int) -> dict[int, float]:
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
