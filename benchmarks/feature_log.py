"""What the feature log costs: a record by itself; the gateway with and without it, the model's cost taken out; and
the whole server, as `fovea serve` starts it, with and without it.

    python -m benchmarks.feature_log                 about 12 minutes
    python -m benchmarks.feature_log --seconds 2 --rounds 2    hastily, 3 minutes

The two servers of a comparison answer in turn, and ratios are taken within each round, so that a machine others use
spoils them less; the standard error says how much it still does.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from benchmarks import echo_repository, paths, photographs, server
from benchmarks.errors import LoadFailed, exit_code
from benchmarks.paths import Plan
from benchmarks.photographs import CHECKOUT
from benchmarks.processes import GATEWAY, KEEPER, by_role
from benchmarks.server import Server
from fovea_client.load.measured import Load
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
_SETTLING = 140.0  # seconds before rounds count: the keeper has started, and compacted its first segment, by then
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
    rows = Rows(_SETTINGS, Pseudonyms(folder), Metrics())
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
    measured: dict[str, list[_Gateway]] = {"without": [], "with": []}
    for turns in itertools.islice(_alternating(options, kept), rounds):
        for name, under_test in turns:
            measured[name].append(_gateway(plan, under_test))
    for name, turns_of in measured.items():
        rate, loop, threads = (statistics.median(values) for values in zip(*map(astuple, turns_of), strict=True))
        _say(f"{name:8}{rate:7.0f} requests/s, CPU us each: event loop {loop:.0f}, all threads {threads:.0f}")
    ratios = [kept.rate / plain.rate for plain, kept in zip(measured["without"], measured["with"], strict=True)]
    _say(f"requests/s with the log: {statistics.median(ratios):.3f} of those without (median of {len(ratios)} pairs)")


def _whole(folder: Path, seconds: float, rounds: int) -> None:
    """The keeper works in the turns of both servers, so CPU time is read over whole rounds: what a server spends while
    it is not asked, both spend."""
    plan = Plan(("rest",), (32,), seconds, photographs.read(None))
    rates: dict[str, list[float]] = {"without": [], "with": []}
    of_gateway: dict[str, list[float]] = {"without": [], "with": []}
    of_all: dict[str, list[float]] = {"without": [], "with": []}
    settled = 0.0
    for turns in _alternating([], ["--feature-log", str(folder / "whole")]):
        settled = settled or time.monotonic() + _SETTLING
        is_counted = time.monotonic() >= settled
        before = {name: by_role(_pid(under_test)) for name, under_test in turns}
        served, answered = {}, {}
        for name, under_test in turns:
            (wanted,) = paths.measurements(plan, under_test, None)
            warmed_up = _answered(wanted.load(0.5))
            served[name] = _answered(wanted.load(seconds))
            answered[name] = warmed_up + served[name]
        if not is_counted:
            continue
        for name, under_test in turns:
            rates[name].append(served[name] / seconds)
            after = by_role(_pid(under_test))
            spent = {role: (after[role] - before[name].get(role, 0)) * 1e6 / answered[name] for role in after}
            of_all[name].append(sum(spent.values()))
            of_gateway[name].append(sum(spent[role] for role in spent if role.startswith((GATEWAY, KEEPER))))
        if len(rates["with"]) == rounds:
            break
    ratio, error = _mean([kept / plain for plain, kept in zip(rates["without"], rates["with"], strict=True)])
    _say(
        f"whole server: {statistics.mean(rates['without']):.1f} images/s without, {ratio:.3f} times that with the log "
        f"(mean of {rounds} pairs, standard error {error:.3f})"
    )
    more, error = _mean([kept - plain for plain, kept in zip(of_gateway["without"], of_gateway["with"], strict=True)])
    usual = statistics.mean(of_all["without"])
    _say(
        f"whole server: gateway and keeper take {statistics.mean(of_gateway['without']):.0f} us of CPU time an image "
        f"without, {more:.0f} more with the log (standard error {error:.0f}): {more / usual:.1%} of {usual:.0f} of all"
    )


def _mean(values: list[float]) -> tuple[float, float]:
    """With its standard error."""
    return statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5


def _alternating(plain: list[str], kept: list[str]) -> Iterator[list[tuple[str, Server]]]:
    """In each round a server "without" the log, started with the options `plain`, and one "with" it, in turns; both are
    stopped when nobody wants another round."""
    with server.started(plain, timeout=120.0) as without, server.started(kept, timeout=120.0) as with_log:
        turns = [("without", without), ("with", with_log)]
        while True:
            yield turns
            turns.reverse()


@dataclass(frozen=True)
class _Gateway:
    """Requests/s, and microseconds of CPU time a request."""

    rate: float
    loop: float
    threads: float


def _gateway(plan: Plan, under_test: Server) -> _Gateway:
    (wanted,) = paths.measurements(plan, under_test, None)
    pid = _pid(under_test)
    wanted.load(0.5)
    before = _ticks(pid)
    served = _answered(wanted.load(plan.seconds))
    after = _ticks(pid)
    tick = 1e6 / os.sysconf("SC_CLK_TCK")
    spent = {thread: (ticks - before.get(thread, 0)) * tick / served for thread, ticks in after.items()}
    return _Gateway(served / plan.seconds, spent[pid], sum(spent.values()))


def _answered(load: Load) -> int:
    if not load.served:
        raise LoadFailed(f"no image was answered ({dict(load.errors)})", "read the server's log")
    return load.served


def _pid(under_test: Server) -> int:
    assert under_test.pid is not None
    return under_test.pid


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
