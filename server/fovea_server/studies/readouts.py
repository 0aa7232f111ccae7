"""Readouts of experiments, from what the store and the feature log know at this moment."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fovea_server.studies import metrics, paired, readout
from fovea_server.studies.observations import Observations, Reading
from fovea_server.studies.readout import Evidence, Readout
from fovea_server.studies.store import Kept, Store
from fovea_server.studies.truth import Truth

_LOOKS = 60  # at which the interval of the accuracy is told again
_LISTED = 200  # disagreements


@dataclass(frozen=True)
class Readouts:
    """Raises ExperimentsUnavailable and UnknownExperiment. It blocks: not for an event loop."""

    store: Store
    observations: Observations
    truth: Truth

    def all(self) -> list[Kept]:
        return self.store.all() if self.store.database.exists else []

    def of(self, name: str) -> Readout:
        kept = self.store.get(name)
        return readout.read(kept, self._evidence(kept), time.time())

    def over_time(self, kept: Kept, arm: str) -> Sequence[Reading]:
        """The interval of the primary metric as it was at each look."""
        if kept.experiment.primary_metric != metrics.ACCURACY:
            return self.observations.readings(kept.name, arm)
        labelled = sorted(self.truth.labelled(kept.name, kept.started or 0.0), key=lambda each: each.at)
        looks = sorted({math.ceil(len(labelled) * look / _LOOKS) for look in range(1, _LOOKS + 1)} - {0})
        told = (_reading(kept, arm, Evidence({}, (), labelled[:until]), labelled[until - 1].at) for until in looks)
        return [reading for reading in told if reading]

    def _evidence(self, kept: Kept) -> Evidence:
        counted = self.observations.counted(kept.name)
        labelled = self.truth.labelled(kept.name, kept.started or 0.0) if kept.started else ()
        units = self.observations.units(kept.name, [arm.name for arm in kept.experiment.arms], kept.stage)
        if not kept.experiment.is_copied:
            return Evidence(counted, units, labelled)
        found = self.observations.disagreements(kept.name)
        labels = self.truth.labels([each.id for each in found])
        return Evidence(counted, units, labelled, paired.mcnemar(found, labels), found[:_LISTED])


def _reading(kept: Kept, arm: str, evidence: Evidence, at: float) -> Reading | None:
    found = readout.primary(kept, arm, evidence)
    if not math.isfinite(found.lower):
        return None
    return Reading(at, found.estimate, found.lower, found.upper, found.control, found.candidate)
