"""Looks after running experiments: raises canaries or takes them back, ends what has ended, notes the interval."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

from fovea_server.errors import ExperimentRefused, ExperimentsUnavailable
from fovea_server.logs import get_logger
from fovea_server.studies import canary, metrics, readout
from fovea_server.studies.folder import Folder
from fovea_server.studies.observations import Observations, Reading
from fovea_server.studies.plans import has_ended
from fovea_server.studies.readout import Evidence
from fovea_server.studies.store import Change, Kept, Store

_log = get_logger("experiments")

_WHO = "fovea serve"
_FINENESS = 200  # readings for each doubling of an experiment's age, about
_LEAST = 5.0  # seconds between two readings


class Caretaker:
    """One for each server. Where several servers share a store, whoever comes first acts."""

    def __init__(self, store: Store, observations: Observations, declarations: Path) -> None:
        self._store = store
        self._observations = observations
        self._folder = Folder(declarations, store)
        self._next_reading: dict[str, float] = {}
        self._faults: dict[str, str] = {}  # by experiment, what was said of it last

    @property
    def is_wanted(self) -> bool:
        """Whether somebody declared an experiment, though there is no store yet."""
        return self._folder.has_any

    def round(self, running: Sequence[Kept]) -> None:
        """Raises ExperimentsUnavailable. Any other fault is that of one experiment, and the others go on."""
        self._folder.read_changed()
        for kept in running:
            try:
                self._look_after(kept)
            except ExperimentRefused as error:
                _log.info("somebody else was faster", experiment=kept.name, reason=str(error))
            except ExperimentsUnavailable:
                raise
            except Exception as error:
                self._say_once(kept.name, error)
            else:
                self._faults.pop(kept.name, None)

    def _say_once(self, name: str, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        if self._faults.get(name) != said:
            self._faults[name] = said
            _log.exception("an experiment is not looked after", experiment=name)

    def _look_after(self, kept: Kept) -> None:
        now = time.time()
        if has_ended(kept.experiment, now):
            self._store.stop(kept, Change(_WHO, "its end has come"))
            return
        self._note(kept, now)
        if kept.experiment.kind == "canary":
            self._tend(kept, now)

    def _tend(self, kept: Kept, now: float) -> None:
        counted = self._observations.counted(kept.name)
        step = canary.decide(kept.experiment, counted, kept.stage, now - _since(kept))
        if step.act == "hold":
            return
        _log.info("canary", experiment=kept.name, act=step.act, why=step.why)
        change = Change(_WHO, step.why)
        if step.act == "roll back":
            self._store.roll_back(kept, change)
        elif step.act == "advance":
            self._store.advance(kept, change)
        else:
            self._store.promote(kept, kept.experiment.candidate.name, change)

    def _note(self, kept: Kept, now: float) -> None:
        """The interval of what gateways count; that of the accuracy is told from the labels whenever somebody looks."""
        if now < self._next_reading.get(kept.name, 0) or kept.experiment.primary_metric == metrics.ACCURACY:
            return
        self._next_reading[kept.name] = now + max(_LEAST, (now - (kept.started or now)) / _FINENESS)
        evidence = Evidence(self._observations.counted(kept.name))
        for arm in kept.experiment.candidates:
            found = readout.primary(kept, arm.name, evidence)
            if math.isfinite(found.lower):
                reading = Reading(now, found.estimate, found.lower, found.upper, found.control, found.candidate)
                self._observations.add_reading(kept.name, arm.name, reading)


def _since(kept: Kept) -> float:
    """When the step began, in Unix seconds: not before the experiment's start."""
    start = kept.experiment.start
    return max(kept.stages_at[-1], start.timestamp() if start else 0.0)
