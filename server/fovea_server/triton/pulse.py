"""Which calls are inside Triton, and since when nothing has been answered: how a hung process shows itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field


@dataclass(eq=False)
class Flight:
    """A call that waits for its answer; `end` ends it, for a reason in words."""

    models: frozenset[str]
    end: Callable[[str], object]
    begin: float = field(default_factory=time.monotonic)


class Pulse:
    """Of the calls to one tritonserver; models go by the names that Triton knows them by."""

    def __init__(self) -> None:
        self._flights: set[Flight] = set()
        self._last_answer = time.monotonic()
        self._unanswered_since: dict[str, float] = {}
        self._latest_answered: dict[str, float] = {}  # when the latest call began that this model answered by itself
        self.unhealthy: set[str] = set()  # models whose process Triton itself gave up, or got no memory
        self.ailing = asyncio.Event()  # set when one is added

    @contextlib.contextmanager
    def flight(self, models: Collection[str], end: Callable[[str], object]) -> Iterator[Flight]:
        """While a call is under way that these models are needed for; `answered` is for the caller to say."""
        flight = Flight(frozenset(models), end)
        self._flights.add(flight)
        for model in flight.models:
            self._unanswered_since.setdefault(model, flight.begin)
        try:
            yield flight
        finally:
            self._flights.discard(flight)

    def answered(self, flight: Flight) -> None:
        """Triton said something, be it an error. A deadline that passed here is not an answer."""
        self._last_answer = time.monotonic()
        for model in flight.models:
            self._unanswered_since.pop(model, None)
        if len(flight.models) == 1:
            (model,) = flight.models
            self._latest_answered[model] = max(flight.begin, self._latest_answered.get(model, flight.begin))

    def ails(self, models: Collection[str]) -> None:
        """An answer showed that a process of these models must be replaced."""
        self.unhealthy.update(models)
        self.ailing.set()

    def silence(self) -> float:
        """For how many seconds nothing at all was answered although a call waited the whole time; 0 where none waits.

        It is the oldest call that counts: callers who give up after milliseconds prove nothing about Triton.
        """
        if not self._flights:
            return 0.0
        oldest = min(flight.begin for flight in self._flights)
        return time.monotonic() - max(oldest, self._last_answer)

    def waited_for(self) -> frozenset[str]:
        """The models that calls under way need."""
        return frozenset[str]().union(*(flight.models for flight in self._flights))

    def overtaken(self, seconds: float) -> frozenset[Flight]:
        """The calls of one model that wait although it has answered one that came so much later."""
        return frozenset(
            flight
            for flight in self._flights
            if len(flight.models) == 1
            for model in flight.models
            if self._latest_answered.get(model, flight.begin) - flight.begin >= seconds
        )

    def stalled(self, seconds: float) -> frozenset[str]:
        """The models that were asked this many seconds ago, and have answered nobody since."""
        before = time.monotonic() - seconds
        return frozenset(model for model, since in self._unanswered_since.items() if since <= before)

    def cut_off(self, models: Collection[str] | None, reason: str) -> None:
        """End the calls under way that need one of these models, or all: their answer will not come."""
        for flight in list(self._flights):
            if models is None or not flight.models.isdisjoint(models):
                flight.end(reason)
        self.unhealthy.clear()
        for model in list(self._unanswered_since) if models is None else models:
            self._unanswered_since.pop(model, None)
