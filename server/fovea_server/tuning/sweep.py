"""A whole sweep: what is to be tuned, trial after trial until the search ends or the time is over, and the file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from fovea_pipelines import precision
from fovea_pipelines.package import CPU_CONFIG
from fovea_server import drafts
from fovea_server.errors import StartError
from fovea_server.triton import tuned
from fovea_server.triton.tuned import Machine, Setting
from fovea_server.tuning import evidence, search, trials
from fovea_server.tuning.axes import Axis, axes
from fovea_server.tuning.journal import Journal
from fovea_server.tuning.search import BudgetSpent, Search
from fovea_server.tuning.trial import Role, Trial
from fovea_server.tuning.trials import Conditions, Trials


@dataclass(frozen=True)
class Progress:
    """Who is told: of the setting that is tried next, and of each trial once it is over."""

    begins: Callable[[Setting, Role, Search], None]
    ended: Callable[[Trial, bool], None]


@dataclass(frozen=True)
class Sweep:
    """`budget` in seconds for what is measured now; what is recalled from a journal costs nothing."""

    conditions: Conditions
    budget: float
    state: Path

    @property
    def plan(self) -> dict[str, Any]:
        """What must be the same for a sweep to be gone on with."""
        conditions = self.conditions
        return {
            "model": conditions.package.name,
            "digest": conditions.package.digest,
            "machine": str(Machine.here()),
            "goal": conditions.goal,
            "p99_ms": conditions.p99,
            "seconds": conditions.seconds,
            "photographs": conditions.source,
        }

    @property
    def folder(self) -> Path:
        return self.state / tuned.FOLDER

    @property
    def baseline(self) -> Setting:
        """What is served by default on this machine, with every choice spelt out."""
        package = self.conditions.package
        text = self._config.read_text(encoding="utf-8")
        return tuned.as_configured(text, Machine.here().cores, precision.choose(package))

    @property
    def axes(self) -> list[Axis]:
        return axes(Machine.here().cores, precision.allowed(self.conditions.package))

    def journal(self, *, resume: bool) -> Journal:
        """The record of an unfinished sweep, or a new one. Raises StartError."""
        name = self.conditions.package.name
        try:
            return (Journal.resume if resume else Journal.begin)(self.folder, name, self.plan)
        except OSError as error:
            raise StartError(
                f"{self.folder} cannot be written: {error.strerror}", hint="name another folder with --state"
            ) from error

    def run(self, journal: Journal, progress: Progress) -> Search:
        """Search until it ends or the budget is spent. Raises StartError or LoadFailed where not even the default can
        be measured; what was measured is in the journal whatever happens."""
        if journal.middle is None:
            journal.set_middle(trials.middle_rate(self.conditions, self.baseline))
        assert journal.middle is not None
        measure = _Measure(Trials(self.conditions, journal.middle), journal, self.budget, progress)
        found = measure.search = Search.begin(self.baseline)
        found.run(self.axes, measure.run)
        return found

    def write(self, found: Search, journal: Journal) -> Path:
        """The settings with their evidence, where `fovea serve` looks for them. Raises StartError."""
        package = self.conditions.package
        path = tuned.file_of(self.state, package)
        plan = {**self.plan, "images": len(self.conditions.images)}
        text = evidence.evidence_file(package, Machine.here(), plan, found, journal.trials)
        try:
            drafts.write(path, text.encode())
        except OSError as error:
            raise StartError(f"{path} cannot be written: {error.strerror}", journal.hint) from error
        return path

    def check(self) -> None:
        """Raise StartError where the model is not one of the repository, or has no configuration for a CPU."""
        package, repository = self.conditions.package, self.conditions.repository
        if not (repository / package.network).is_dir() or not self._config.is_file():
            raise StartError(
                f"{package.network} has no {CPU_CONFIG} that is to be tuned in {repository}",
                hint="tune a model of the repository; added ones are served as they were added",
            )

    @property
    def _config(self) -> Path:
        return self.conditions.repository / self.conditions.package.ensemble / CPU_CONFIG


class _Measure:
    """Recall a trial, or run it while there is time."""

    search: Search

    def __init__(self, running: Trials, journal: Journal, budget: float, progress: Progress) -> None:
        self._running = running
        self._journal = journal
        self._ends = time.monotonic() + budget
        self._took: list[float] = []
        self._progress = progress

    def run(self, setting: Setting, role: Role) -> Trial:
        self._progress.begins(setting, role, self.search)
        if trial := self._journal.recall(setting, role):
            self._progress.ended(trial, True)
            return trial
        self._check_time()
        began = time.monotonic()
        trial = self._running.run(setting, role)
        self._took.append(time.monotonic() - began)
        if trial.failure and role == "baseline":
            raise StartError(f"the default setting cannot be measured: {trial.failure}", hint="try it: fovea serve")
        self._journal.add(trial)
        self._progress.ended(trial, False)
        return trial

    def _check_time(self) -> None:
        """Raise BudgetSpent where a trial as long as those so far would not end in time."""
        if self._took and time.monotonic() + fmean(self._took) > self._ends:
            raise BudgetSpent


def trials_at_most(sweep: Sweep) -> int:
    return search.most_trials(sweep.axes, sweep.baseline)
