"""Which images one gateway process has inside Triton, or had there when it died; and whether more may go in."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from fovea_server.domain import Model
from fovea_server.request.readiness import Readiness

_LEFT_IMAGES, _LEFT_BYTES = 64, 64_000_000  # callers that went away; their images may be inside
LEFT_SECONDS = 5.0  # and for so long
ONE_DEATH = 30.0  # seconds in which further losses belong to the same death, unless Triton is ready again before


@dataclass(frozen=True)
class Visit:
    """An image inside Triton."""

    image: bytes
    models: tuple[Model, ...]
    request_id: str


@dataclass(frozen=True)
class Company:
    """What was inside at a death; `complete` where nothing else of this process can have been."""

    visits: Sequence[Visit]
    complete: bool


class Doorway:
    """`opened` and `empty` are for those who wait until it is so."""

    def __init__(self, readiness: Readiness) -> None:
        self._inside: dict[int, Visit] = {}
        self._numbers = itertools.count()
        self._left: deque[tuple[float, Visit]] = deque()
        self._forgot_until = float("-inf")  # of those who left, some that may be inside
        self._at_death: dict[int, Visit] = {}
        self._left_at_death: list[Visit] = []
        self._all_known = True  # of the present death
        self._same_death_until = float("-inf")
        self._was_down = False
        self.opened, self.empty = asyncio.Event(), asyncio.Event()
        self.opened.set()
        self.empty.set()
        readiness.on_change(self._on_readiness)

    @contextmanager
    def inside(self, visit: Visit) -> Iterator[None]:
        number = next(self._numbers)
        self._inside[number] = visit
        self.empty.clear()
        try:
            yield
        finally:
            del self._inside[number]
            if not self._inside:
                self.empty.set()

    def leave(self, visit: Visit) -> None:
        """Nobody waits for it any more, but it may still be at work."""
        now = time.monotonic()
        self._left.append((now, visit))
        while self._left and now - self._left[0][0] > LEFT_SECONDS:
            self._left.popleft()
        while len(self._left) > _LEFT_IMAGES or sum(len(visit.image) for _, visit in self._left) > _LEFT_BYTES:
            left, _ = self._left.popleft()
            self._forgot_until = left + LEFT_SECONDS

    def note_death(self) -> bool:
        """Remember who is inside; whether this is the first sign of the death."""
        now = time.monotonic()
        is_first = now >= self._same_death_until
        if is_first:
            self._same_death_until = now + ONE_DEATH
            self._at_death.clear()
            self._left_at_death = [visit for when, visit in self._left if now - when < LEFT_SECONDS]
            self._all_known = now >= self._forgot_until
        self._at_death.update(self._inside)
        return is_first

    def company(self) -> Company:
        """Of the present death."""
        self.note_death()
        return Company([*self._at_death.values(), *self._left_at_death], self._all_known)

    def _on_readiness(self, ready: bool) -> None:
        """Only after it was not ready: who follows is told again and again that it is, also of another death."""
        if ready and self._was_down:
            self._same_death_until = self._forgot_until = float("-inf")
            for remembered in (self._left, self._at_death, self._left_at_death):
                remembered.clear()
        self._was_down = not ready
