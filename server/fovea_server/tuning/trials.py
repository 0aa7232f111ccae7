"""Run a trial: a server of its own for the setting, and open-loop load on its REST face."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import uvloop

from fovea_client.load import Closed, Load, LoadFailed, Open, Photograph
from fovea_client.load.rest import Address, post, send
from fovea_client.load.schedule import Way
from fovea_pipelines.package import ModelPackage
from fovea_server.errors import StartError
from fovea_server.triton.tuned import Machine, Setting
from fovea_server.tuning import ladder, trial_server
from fovea_server.tuning.evidence import settings_file
from fovea_server.tuning.trial import Goal, Role, Step, Trial
from fovea_server.tuning.trial_server import TrialServer

_CALLERS = 16  # of the closed loop that finds the middle rate
_WARM_UP = 1.5  # seconds of load that do not count
_BEGIN = -2  # the rung that the first trial begins at: 0.8 of what a closed loop got
_CPU_SHARE = 0.6  # of the middle rate, at which CPU time is measured
_HINT = "the server went away; try it alone: fovea serve"


@dataclass(frozen=True)
class Conditions:
    """The same for all trials. `source` says in words what the images are; `p99` in milliseconds, `seconds` of load at
    each rate."""

    repository: Path
    package: ModelPackage
    images: Sequence[Photograph]
    source: str
    goal: Goal
    p99: float
    seconds: float


class Trials:
    """`middle` is the rate, images/s, around which all rates lie."""

    def __init__(self, conditions: Conditions, middle: float) -> None:
        self._conditions = conditions
        self._middle = middle
        self._begin = _BEGIN

    def run(self, setting: Setting, role: Role) -> Trial:
        """A trial; one that cannot be served scores 0 and says why."""
        conditions = self._conditions
        try:
            with served(conditions, setting) as server:
                steps = self._steps(server, role)
        except (StartError, LoadFailed) as error:
            return Trial(role, setting, 0.0, (), str(error))
        return Trial(role, setting, self._score(steps), tuple(steps))

    def _steps(self, server: TrialServer, role: Role) -> list[Step]:
        conditions = self._conditions

        def measure(rate: float) -> Step:
            return step(server, conditions, rate, conditions.seconds)

        if conditions.goal == "cpu":
            measure_at = self._middle * _CPU_SHARE
            step(server, conditions, measure_at, _WARM_UP)
            return [measure(measure_at)]
        step(server, conditions, self._middle * ladder.RATIO**self._begin, _WARM_UP)
        steps = ladder.climb(measure, self._middle, self._begin, conditions.p99)
        if role != "candidate" and (kept := ladder.sustained(steps, conditions.p99)):
            self._begin = ladder.rung_of(kept, self._middle) - 1  # the next setting will not be far from this one
        return steps

    def _score(self, steps: Sequence[Step]) -> float:
        bound = self._conditions.p99
        if self._conditions.goal == "throughput":
            return ladder.sustained(steps, bound)
        (only,) = steps
        return 1000 / only.cpu_ms if only.keeps(bound) and only.cpu_ms else 0.0


@contextlib.contextmanager
def served(conditions: Conditions, setting: Setting) -> Iterator[TrialServer]:
    """The server of one setting, which it reads from a file as `fovea serve` will."""
    with tempfile.TemporaryDirectory(prefix="fovea-tune-") as folder:
        path = Path(folder, "setting.toml")
        path.write_text(settings_file(conditions.package, Machine.here(), conditions.goal, setting), encoding="utf-8")
        with trial_server.served([f"--repository={conditions.repository}", f"--tuned={path}"]) as server:
            yield server


def middle_rate(conditions: Conditions, setting: Setting) -> float:
    """Images/s of a closed loop: where the rates of all trials lie around. Raises StartError or LoadFailed."""
    with served(conditions, setting) as server:
        _load(server, conditions, Closed(_CALLERS), _WARM_UP)
        load = _load(server, conditions, Closed(_CALLERS), conditions.seconds)
    if not load.images_per_second or load.errors:
        told = ", ".join(f"{count} x {what}" for what, count in load.errors.items()) or "no answer"
        raise LoadFailed(f"the default setting does not answer the images: {told}", "send others: --images FOLDER")
    return load.images_per_second


def step(server: TrialServer, conditions: Conditions, rate: float, seconds: float) -> Step:
    """Load at one rate, and what it cost."""
    before = server.cpu_seconds()
    load = _load(server, conditions, Open(rate), seconds)
    spent = server.cpu_seconds() - before
    return Step(
        rate=round(rate, 2),
        images_per_second=load.images_per_second,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
        cpu_ms=round(1000 * spent / max(load.served, 1), 3),
        errors=sum(load.errors.values()),
    )


def _load(server: TrialServer, conditions: Conditions, way: Way, seconds: float) -> Load:
    address = Address.of(server.url)
    path = f"/v1/classify?model={quote(conditions.package.name)}"
    requests = [post(path, str(address), image.media_type, image.encoded) for image in conditions.images]
    return uvloop.run(send(requests, address, way, seconds, hint=_HINT))
