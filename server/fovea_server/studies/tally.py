"""What this gateway process counted of the experiments since it started."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterable, Mapping

from fovea_server.domain import Exposure
from fovea_server.feature_log.note import Note
from fovea_server.metrics import Metrics
from fovea_server.studies.counts import Counts, Place
from fovea_server.studies.observations import Disagreement

_MOST_UNITS = 100_000  # of one step of one experiment that are told apart: enough to see that arms are uneven
_MOST_SLICES = 50  # of one experiment; what comes after is counted with all, but not apart
_MOST_EVENTS = 50
_MOST_WAITING = 1000  # disagreements that the store has not taken yet


class Tally:
    """Counts on the request's way: a few additions each.

    `abstain_below` is, of each experiment, the best score below which an answer is an abstention.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.abstain_below: Mapping[str, float] = {}
        self.events_seen: set[str] = set()
        self._counts: dict[Place, Counts] = {}
        self._changed: set[Place] = set()
        self._slices: dict[str, set[str]] = {}
        self._units: dict[tuple[str, int], set[str]] = {}
        self._disagreements: deque[Disagreement] = deque(maxlen=_MOST_WAITING)
        self._lock = threading.Lock()  # it is read by another thread

    def answered(self, note: Note) -> None:
        answer, exposure = note.answer, note.exposure
        assert answer is not None
        assert exposure is not None
        best = answer.results[0].predictions[:1]
        abstained = bool(best) and best[0].score < self.abstain_below.get(exposure.experiment, 0)
        with self._lock:
            self._meet(exposure)
            for counts in self._all_of(exposure, note):
                counts.answer(answer.timings_ms.total, abstained)
        self._metrics.exposed(exposure, "answered")

    def failed(self, note: Note) -> None:
        """By an error of the server's making."""
        assert note.exposure is not None
        with self._lock:
            self._meet(note.exposure)
            for counts in self._all_of(note.exposure, note):
                counts.failed += 1
        self._metrics.exposed(note.exposure, "failed")

    def compared(self, experiment: str, stage: int, arm: str, agreed: bool) -> None:
        """A copy was answered by the arm, with the same best label as the control's or another one."""
        with self._lock:
            counts = self._at(Place(experiment, stage, arm))
            counts.compared += 1
            counts.differed += not agreed

    def event(self, exposure: Exposure, name: str, value: float) -> bool:
        """Whether it is counted: too many kinds are not."""
        with self._lock:
            counts = self._at(Place(exposure.experiment, exposure.stage, exposure.arm))
            if name not in counts.events and len(counts.events) >= _MOST_EVENTS:
                return False
            counts.event(name, value)
        return True

    def seen(self, event: str) -> None:
        """Somebody reports it: an experiment may be judged by it."""
        if len(self.events_seen) < _MOST_EVENTS:
            self.events_seen.add(event)

    def disagreed(self, disagreement: Disagreement) -> None:
        self._disagreements.append(disagreement)

    def take_disagreements(self) -> list[Disagreement]:
        """Those since the last time."""
        return [self._disagreements.popleft() for _ in range(len(self._disagreements))]

    def put_back(self, disagreements: list[Disagreement]) -> None:
        self._disagreements.extendleft(reversed(disagreements))

    def counted(self) -> dict[Place, Counts]:
        """A copy of all of it."""
        with self._lock:
            places = list(self._counts)
        return dict(map(self._copied, places))

    def take_changed(self) -> dict[Place, Counts]:
        """A copy of what has changed since the last time."""
        with self._lock:
            places, self._changed = self._changed, set()
        return dict(map(self._copied, places))

    def still_changed(self, places: Iterable[Place]) -> None:
        """What was taken did not arrive."""
        with self._lock:
            self._changed.update(places)

    def forget_units(self, running: Collection[str]) -> None:
        """Of experiments that do not run any more: they take more memory than all the rest."""
        with self._lock:
            self._units = {key: units for key, units in self._units.items() if key[0] in running}

    def _copied(self, place: Place) -> tuple[Place, Counts]:
        """One by one, so that no request waits for more than one."""
        with self._lock:
            return place, self._counts[place].copy()

    def _meet(self, exposure: Exposure) -> None:
        """Count the unit unless it was met before: units are dealt out evenly, their requests are not."""
        met = self._units.setdefault((exposure.experiment, exposure.stage), set())
        if exposure.unit not in met and len(met) < _MOST_UNITS:
            met.add(exposure.unit)
            self._at(Place(exposure.experiment, exposure.stage, exposure.arm)).units += 1

    def _all_of(self, exposure: Exposure, note: Note) -> list[Counts]:
        experiment, stage, arm = exposure.experiment, exposure.stage, exposure.arm
        known = self._slices.setdefault(experiment, set())
        places = [Place(experiment, stage, arm)]
        for name, value in note.slices:
            said = f"{name}={value}"
            if said in known or len(known) < _MOST_SLICES:
                known.add(said)
                places.append(Place(experiment, stage, arm, said))
        return [self._at(place) for place in places]

    def _at(self, place: Place) -> Counts:
        """To be changed."""
        self._changed.add(place)
        return self._counts.setdefault(place, Counts())
