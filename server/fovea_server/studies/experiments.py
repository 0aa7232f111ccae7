"""All that a gateway process has to do with experiments, built together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from fovea_server.feature_log.places import Places
from fovea_server.metrics import Metrics
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.routing import Routing
from fovea_server.request.service import InferenceEngine
from fovea_server.studies.caretaker import Caretaker
from fovea_server.studies.database import Database, url_of
from fovea_server.studies.events import Events
from fovea_server.studies.exchange import Exchange
from fovea_server.studies.observations import Observations
from fovea_server.studies.readouts import Readouts
from fovea_server.studies.settings import ExperimentSettings
from fovea_server.studies.shadow import Shadow
from fovea_server.studies.store import Store
from fovea_server.studies.tally import Tally
from fovea_server.studies.truth import NothingKnown, Truth

DECLARATIONS = "experiments"  # the folder of declarations, in the state folder


class Experiments:
    """`routing` and `copies` are for the service, `readouts` and `events` for the edge.

    is_idle    whether the gateway has nothing to do
    is_first   whether this is the process of the server that looks after experiments
    """

    def __init__(
        self,
        settings: ExperimentSettings,
        state: Path,
        catalogue: Catalogue,
        engine: InferenceEngine,
        is_idle: Callable[[], bool],
        metrics: Metrics,
        log: Places | None,
        is_first: bool,
    ) -> None:
        """Raises StartError for what is no database."""
        tally = Tally(metrics)
        self.readouts = readouts_of(settings.store, state, log)
        store, observations = self.readouts.store, self.readouts.observations
        self.routing = Routing(catalogue, tally)
        self.copies = Shadow(settings.shadow_busy, engine, catalogue, is_idle, self.routing, tally, metrics)
        self.events = Events(self.routing, tally)
        caretaker = Caretaker(store, observations, state / DECLARATIONS) if is_first else None
        self._exchange = Exchange(store, observations, self.routing, tally, metrics, caretaker)

    @property
    def fault(self) -> str | None:
        """Why the last known experiments stay in force; None while the store answers."""
        return self._exchange.fault

    async def start(self) -> None:
        """Once the first plan is in force, or cannot be had: who is answered before would meet no experiment."""
        await asyncio.to_thread(self._exchange.exchange)
        self._exchange.start()

    async def stop(self) -> None:
        """Once nothing is answered any more: give what was counted."""
        await self.copies.close()
        await asyncio.to_thread(self._exchange.stop)


def readouts_of(url: str, state: Path, log: Places | None) -> Readouts:
    """`url` "" is a file in the state folder. Raises StartError for what is no database."""
    database = Database(url_of(url, state))
    return Readouts(Store(database), Observations(database), _truth(log))


def _truth(log: Places | None) -> Truth:
    if log is None:
        return NothingKnown()
    from fovea_server.studies.logged_truth import LoggedTruth

    return LoggedTruth(log)
