"""What a gateway process and the store of the experiments have to tell each other, in a thread of its own.

It takes what was decided and gives what was counted. Nobody who answers an image waits for it: where the store does not
answer, the last known plan stays in force and the fault is exported.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping, Sequence

from fovea_server.errors import FoveaError
from fovea_server.logs import get_logger
from fovea_server.metrics import Metrics
from fovea_server.request.routing import Routing
from fovea_server.studies.canary import broken_guardrail
from fovea_server.studies.caretaker import Caretaker
from fovea_server.studies.observations import Observations
from fovea_server.studies.plans import plan_of
from fovea_server.studies.store import Kept, Store
from fovea_server.studies.tally import Tally

_log = get_logger("experiments")

_LOOK = 0.25  # seconds between two looks at what was decided
_GIVE = 1.0  # seconds between two gifts of what was counted, and between two rounds of the caretaker


class Exchange:
    """`caretaker` is there in the one process of a server that looks after experiments."""

    def __init__(
        self,
        store: Store,
        observations: Observations,
        routing: Routing,
        tally: Tally,
        metrics: Metrics,
        caretaker: Caretaker | None,
        give_every: float = _GIVE,
    ) -> None:
        self._store = store
        self._observations = observations
        self._routing = routing
        self._tally = tally
        self._metrics = metrics
        self._caretaker = caretaker
        self._give_every = give_every
        self._process = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._generation = -1
        self._kept: Sequence[Kept] = ()
        self._pointers: Mapping[str, str] = {}
        self._events_given: set[str] = set()
        self._held_back: set[str] = set()
        self._next_gift = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="experiments", daemon=True)
        self.fault: str | None = None  # why the store does not answer, None while it does

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Once what was counted is given, or cannot be. Waits a few seconds at the most."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK):
            self.exchange()
        self._next_gift = 0.0
        self.exchange()
        self._store.database.close()

    def exchange(self) -> None:
        """One round. Never raises: a fault of ours must not end the thread, or nothing would be seen any more."""
        try:
            self._say(self._talk())
            if self.fault:
                self._hold_back()
            self._routing.plan = plan_of(self._kept, self._pointers, time.time(), self._held_back)
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
            if fault != self.fault:  # once, not four times a second
                _log.exception("experiments")
            self._say(fault)

    def _talk(self) -> str | None:
        """Why the store does not answer, None where it does."""
        try:
            if self._store.database.exists or (self._caretaker and self._caretaker.is_wanted):
                self._take()
                if time.monotonic() >= self._next_gift:
                    self._give()
                    self._next_gift = time.monotonic() + self._give_every
        except FoveaError as error:
            return str(error)
        return None

    def _take(self) -> None:
        generation = self._store.generation()
        if generation == self._generation:
            return
        self._kept, self._pointers = self._store.all(), self._store.pointers()
        self._generation = generation
        self._held_back &= {kept.name for kept in self._kept if kept.is_running}
        self._tally.abstain_below = {kept.name: kept.experiment.abstain_below for kept in self._kept}
        self._metrics.experiments_running(sum(kept.is_running for kept in self._kept))

    def _give(self) -> None:
        changed, events = self._tally.take_changed(), set(self._tally.events_seen)
        disagreements = self._tally.take_disagreements()
        if changed or disagreements or events - self._events_given:
            try:
                self._observations.give(self._process, changed, events - self._events_given, disagreements)
            except Exception:  # whatever it is: what was taken is in no other place
                self._tally.still_changed(changed)
                self._tally.put_back(disagreements)
                raise
            self._events_given = events
        self._tally.forget_units({kept.name for kept in self._kept if kept.is_running})
        if self._caretaker:
            self._caretaker.round([kept for kept in self._kept if kept.is_running])
            self._take()

    def _hold_back(self) -> None:
        """Of a canary that breaks a guardrail by what this process alone has counted, while nobody can be told."""
        counted = self._tally.counted()
        for kept in self._kept:
            if kept.is_running and kept.experiment.kind == "canary" and kept.name not in self._held_back:
                own = {place: counts for place, counts in counted.items() if place.experiment == kept.name}
                if broken := broken_guardrail(kept.experiment, own):
                    self._held_back.add(kept.name)
                    _log.warning("canary held back by this process alone", experiment=kept.name, why=broken)

    def _say(self, fault: str | None) -> None:
        if fault and fault != self.fault:
            _log.warning("the last known experiments stay in force", why=fault)
        elif self.fault and not fault:
            _log.info("the store of experiments answers again")
        self.fault = fault
        self._metrics.experiments_store(fault is None)
