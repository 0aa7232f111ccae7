"""A gateway process, as far as experiments go."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from tests.request.questions import a_model, a_question

from fovea_server.errors import InferenceFailed
from fovea_server.feature_log.note import NoLog
from fovea_server.metrics import Metrics
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.routing import Arm, Routing, digest_of
from fovea_server.studies.caretaker import Caretaker
from fovea_server.studies.database import Database
from fovea_server.studies.declaration import Experiment
from fovea_server.studies.exchange import Exchange
from fovea_server.studies.observations import Observations
from fovea_server.studies.store import Change, Store
from fovea_server.studies.tally import Tally

ME = Change("me", "because")


class Process:
    """Its store, its routing, and what they have to tell each other."""

    def __init__(self, url: str, folder: Path, is_first: bool = False) -> None:
        self.store = Store(Database(url))
        self.observations = Observations(self.store.database)
        self.metrics = Metrics()
        self.tally = Tally(self.metrics)
        self.routing = Routing(Catalogue([a_model("alpha"), a_model("beta")]), self.tally)
        caretaker = Caretaker(self.store, self.observations, folder / "declarations") if is_first else None
        self.exchange = Exchange(
            self.store, self.observations, self.routing, self.tally, self.metrics, caretaker, give_every=0.0
        )

    def meets(self, model: str, unit: str) -> Arm:
        """The arm of the experiment on the model."""
        split = self.routing.plan.splits[model]
        return split.arm_at(digest_of(split.salt, unit))

    def serve(self, requests: int, failing: str = "", begin: int = 0) -> dict[str, int]:
        """How many met each arm; what the arm `failing` is asked fails."""
        met: dict[str, int] = {}
        for number in range(begin, begin + requests):
            question = a_question(f"r{number}", unit=f"user-{number}")
            note = NoLog().note(question)
            route = self.routing.route(question)
            arm = route.exposure.arm if route.exposure else ""
            met[arm] = met.get(arm, 0) + 1
            try:
                with self.routing.follow(route, note):
                    if arm == failing:
                        raise InferenceFailed("no")
                    note.answer = _answer()
            except InferenceFailed:
                pass
        return met

    @property
    def is_up(self) -> float | None:
        return self.metrics.registry.get_sample_value("fovea_experiments_store_up")


def _answer() -> object:
    prediction = SimpleNamespace(score=0.9)
    return SimpleNamespace(results=[SimpleNamespace(predictions=[prediction])], timings_ms=SimpleNamespace(total=10.0))


def start(store: Store, experiment: Experiment) -> None:
    store.start(store.create(experiment, ME), ME)
