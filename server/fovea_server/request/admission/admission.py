"""The door to Triton: a limit on the work inside, and a waiting room before it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from fovea_server.domain import Caller, Deadline, Priority
from fovea_server.errors import DeadlineExceeded, FoveaError, QuotaExceeded
from fovea_server.request.admission import refusals
from fovea_server.request.admission.coming import Coming
from fovea_server.request.admission.forecast import Forecast
from fovea_server.request.admission.limit import FixedLimit, Limit, VegasLimit
from fovea_server.request.admission.meter import Meter
from fovea_server.request.admission.overload import Overload
from fovea_server.request.admission.quotas import Quotas
from fovea_server.request.admission.room import Room
from fovea_server.request.admission.settings import AdmissionSettings
from fovea_server.request.admission.turn import Turn

Told = Callable[[str, Priority], None]  # a reason, and the class that was refused for it


class Admission:
    """Lets in as much work as the limit says; what is over it waits, or is told at once why it cannot be answered."""

    def __init__(self, settings: AdmissionSettings, on_refusal: Told = lambda reason, priority: None) -> None:
        self._settings = settings
        self._on_refusal = on_refusal
        self._limit: Limit = (
            VegasLimit(settings.batch, settings.most_in_flight)
            if settings.batch
            else FixedLimit(settings.most_in_flight)
        )
        self._room = Room(settings)
        self._quotas = Quotas(settings.quota_burst, settings.quotas)
        self._meter = Meter()
        self._measured_since = -math.inf
        self._forecast = Forecast()
        self._overload = Overload()
        self._coming = {priority: Coming() for priority in Priority}
        self._contended = False  # whether somebody had to wait since the last window
        self._units = 0.0
        self.in_flight = 0

    @property
    def waiting(self) -> int:
        return len(self._room)

    def waiting_of(self, priority: Priority) -> int:
        return self._room.waiting(priority)

    @property
    def units(self) -> float:
        """Units of work inside."""
        return self._units

    @property
    def limit(self) -> float:
        """Units that may be inside at present."""
        return self._limit.units

    @property
    def is_overloaded(self) -> bool:
        """Whether interactive requests were turned away a moment ago."""
        return self._overload.is_on(time.monotonic())

    def triton_up(self, up: bool) -> None:
        """It went away, or is back: what those who are inside meanwhile wait for says nothing of how fast it works."""
        now = time.monotonic()
        self._measured_since = now if up else math.inf
        self._meter = Meter()
        if self.in_flight:
            self._meter.busy(now)

    def charge(self, caller: Caller, megapixels: float, priority: Priority) -> None:
        """Count a request against its caller's quotas. Raises QuotaExceeded."""
        try:
            self._quotas.charge(caller, megapixels, time.monotonic())
        except QuotaExceeded as error:
            self._on_refusal(error.reason, priority)
            raise

    def refusal_unread(self, priority: Priority, caller: str = "") -> FoveaError | None:
        """Why a request is turned away before its image was read; None where it has to be looked at.

        Only in an overload: to read and refuse every image would take the CPU from those that are being answered.
        """
        if not self.is_overloaded:
            return None
        now = time.monotonic()
        turn = self.slot(0, Deadline(math.inf), priority=priority, caller=caller)
        patience = self._short_patience - self._coming[priority].ahead_of(caller, now)
        if not self._room.is_too_much(turn, patience):
            self._coming[priority].passed(caller)
            return None
        self._overflowed(turn, now)
        return self._refused(turn, self._overloaded(turn))

    def slot(
        self,
        size: int,
        deadline: Deadline,
        cost: float = 1.0,
        priority: Priority = Priority.INTERACTIVE,
        caller: str = "",
    ) -> Turn:
        """`async with` it: room inside for `cost` units of work on an image of `size` bytes.

        Raises Busy where too much is waiting, Shed where a request of a higher class took the place,
        DeadlineUnreachable where the turn would come too late, and DeadlineExceeded where it did not come in time.
        """
        return Turn(self, size, deadline, cost, priority, caller)

    def try_enter(self, turn: Turn) -> bool:
        """Let it in if nobody waits and there is room. Raises DeadlineUnreachable."""
        self._coming[turn.priority].arrived(turn.caller)
        if self._room or self._units >= self._limit.units:
            return False
        # One that finds Triton idle is let in whatever the forecast says, or a wrong one would never be put right.
        if self.in_flight and turn.deadline.remaining() < self._forecast.fastest:
            raise self._refused(turn, refusals.too_late(self._forecast.fastest, turn.deadline))
        self._let_in(turn)
        return True

    async def wait(self, turn: Turn) -> None:
        """Until it is inside. Raises like `slot`."""
        self._contended = True
        self._check_deadline(turn)
        self._check_patience(turn)
        self._make_place(turn)
        loop = asyncio.get_running_loop()
        turn.told = loop.create_future()
        self._room.push(turn)
        # What cannot be answered in time any more leaves when that is certain, not when it is its turn.
        leaves = loop.call_later(max(turn.deadline.remaining() - self._forecast.fastest, 0.0), self._expire, turn)
        try:
            if await turn.told is not None:
                raise _taken(turn)
        except asyncio.CancelledError:
            self._cancelled(turn)
            raise
        finally:
            leaves.cancel()

    def leave(self, turn: Turn, error: BaseException | None) -> None:
        """Its work is done, well or not; the next may come in."""
        now = time.monotonic()
        turn.is_inside = False
        self._units -= turn.cost
        self.in_flight -= 1
        if turn.began >= self._measured_since and (error is None or isinstance(error, DeadlineExceeded)):
            self._measure(turn.cost, now - turn.began, now, in_time=error is None)
        if not self.in_flight:
            self._units = 0.0  # without what rounding left
            self._meter.idle(now)
        self._let_in_next()

    def _measure(self, cost: float, held: float, now: float, in_time: bool) -> None:
        window = self._meter.done(cost, held, now, in_time)
        if window:
            self._limit.observe(window, self._contended, self.is_overloaded)
            self._forecast.observe(window, self._contended)
            self._contended = bool(self._room)

    def _let_in(self, turn: Turn) -> None:
        if not self.in_flight:
            self._meter.busy(time.monotonic())
        turn.is_inside = True
        self._units += turn.cost
        self.in_flight += 1

    def _let_in_next(self) -> None:
        while self._room and self._units < self._limit.units:
            turn = self._room.pop()
            if not turn.told.done():
                self._let_in(turn)
                turn.told.set_result(None)

    def _cancelled(self, turn: Turn) -> None:
        """Its caller went away while it waited, or at the very moment it was let in."""
        if turn.is_inside:
            self.leave(turn, asyncio.CancelledError())
        elif turn.is_waiting:
            self._room.remove(turn)

    def _expire(self, turn: Turn) -> None:
        if turn.is_waiting:
            self._turn_away(turn, refusals.expired(self._room))

    def _check_deadline(self, turn: Turn) -> None:
        ahead = self._units + self._room.ahead_of(turn, self.is_overloaded) + turn.cost - self.limit
        seconds = self._forecast.seconds(ahead) + self._forecast.mean
        if turn.deadline.remaining() < seconds:
            raise self._refused(turn, refusals.too_late(seconds, turn.deadline))

    def _check_patience(self, turn: Turn) -> None:
        if not self._room.is_too_much(turn, self._patience(turn.priority)):
            return
        try:
            raise self._refused(turn, self._overloaded(turn))
        finally:
            self._overflowed(turn, time.monotonic())

    @property
    def _short_patience(self) -> float:
        """Units of each class that may wait in an overload."""
        return self._settings.short_patience * self.limit

    def _patience(self, priority: Priority) -> float:
        """Units of its class that a request may find waiting; batch waits for any number until there is an overload."""
        if self.is_overloaded:
            return self._short_patience
        return self._settings.patience * self.limit if priority is Priority.INTERACTIVE else math.inf

    def _overflowed(self, turn: Turn, now: float) -> None:
        """An interactive request had to be refused: an overload begins, and the room empties, batch first; or goes on.
        That batch is refused too is part of it, and prolongs nothing."""
        if turn.priority is not Priority.INTERACTIVE:
            return
        highest = Priority.BATCH if self.is_overloaded else Priority.INTERACTIVE
        for newest in self._room.beyond(self._short_patience, highest):
            self._turn_away(newest, self._gave_way(newest) if newest.priority else self._overloaded(newest))
        self._overload.begin(now)

    def _make_place(self, turn: Turn) -> None:
        if self._room.has_place(turn):
            return
        victims = self._room.victims_for(turn)
        if not victims:
            if turn.priority is Priority.INTERACTIVE:
                self._overload.begin(time.monotonic())
            raise self._refused(turn, self._full(turn))
        for victim in victims:
            self._turn_away(victim, self._gave_way(victim) if victim.priority > turn.priority else self._full(victim))

    def _turn_away(self, turn: Turn, error: FoveaError) -> None:
        """Out of the room, with the reason."""
        self._room.remove(turn)
        if not turn.told.done():
            turn.told.set_result(self._refused(turn, error))

    def _refused(self, turn: Turn, error: FoveaError) -> FoveaError:
        self._on_refusal(error.reason, turn.priority)
        return error

    def _full(self, turn: Turn) -> FoveaError:
        return refusals.full(self._room, self._settings, self._retry_after(turn))

    def _overloaded(self, turn: Turn) -> FoveaError:
        return refusals.overloaded(self._room, self.limit, self._retry_after(turn))

    def _gave_way(self, turn: Turn) -> FoveaError:
        return refusals.gave_way(self._room, self._retry_after(turn))

    def _retry_after(self, turn: Turn) -> float:
        """Seconds until what waits is done, and what was turned away of late and will be back."""
        return self._forecast.retry_after(self._room.work + self._overload.turned_away(turn.cost, time.monotonic()))


def _taken(turn: Turn) -> FoveaError:
    """Why it was turned away, held by it no more: raised, the error holds its frames, and these the turn and the image.

    For the same reason what is raised here is kept in no variable: a garbage collection would have to find the image.
    """
    told = turn.told
    del turn.told
    refusal = told.result()
    assert refusal is not None
    return refusal
