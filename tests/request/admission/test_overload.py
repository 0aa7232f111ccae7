"""Under overload the lowest class goes first, nobody is starved, and each who is turned away is told why."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any
from unittest.mock import Mock

import pytest

from fovea_server.domain import Caller, Deadline, Priority
from fovea_server.errors import Busy, DeadlineExceeded, DeadlineUnreachable, FoveaError, QuotaExceeded, Shed
from fovea_server.request.admission import Admission, AdmissionSettings, overload
from fovea_server.request.gate import GateSettings

pytestmark = pytest.mark.usefixtures("virtual_time")

_SERVICE = 0.01  # seconds that each request is inside


class _Load:
    """Requests to one admission, and what became of each."""

    def __init__(self, settings: AdmissionSettings) -> None:
        self.refusals = Counter[tuple[str, Priority]]()
        self.admission = Admission(settings, on_refusal=lambda *refusal: self.refusals.update([refusal]))
        self.answered: list[str] = []
        self.errors: list[FoveaError] = []
        self._tasks: list[asyncio.Task[None]] = []

    def ask(
        self,
        count: int,
        name: str = "",
        priority: Priority = Priority.INTERACTIVE,
        *,
        seconds: float = 30.0,
        cost: float = 1.0,
        service: float = _SERVICE,
        size: int = 100,
    ) -> None:
        for _ in range(count):
            request = self._request(name, priority, Deadline.after(seconds), cost, service, size)
            self._tasks.append(asyncio.create_task(request))

    async def ended(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _request(
        self, name: str, priority: Priority, deadline: Deadline, cost: float, service: float, size: int
    ) -> None:
        try:
            async with self.admission.slot(size, deadline, cost, priority, name):
                await asyncio.sleep(service)
                self.answered.append(name)
        except FoveaError as error:
            self.errors.append(error)


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def _busy_for(load: _Load, seconds: float) -> None:
    """Enough done, four at a time, that the forecast knows how fast it goes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        load.ask(4)
        await load.ended()
    load.answered.clear()


async def test_work_is_counted_not_requests() -> None:
    load = _Load(AdmissionSettings(max_in_flight=8, batch=None))
    load.ask(8, "large", cost=5.0)
    await _settle()
    assert (load.admission.in_flight, load.admission.waiting) == (2, 6)
    await load.ended()


async def test_an_image_that_costs_more_than_the_whole_limit_is_let_in_when_there_is_room() -> None:
    load = _Load(AdmissionSettings(max_in_flight=2, batch=None))
    load.ask(1, cost=100.0)
    load.ask(2)
    await _settle()
    assert load.admission.in_flight == 1
    await load.ended()
    assert (len(load.answered), load.admission.in_flight) == (3, 0)


async def test_interactive_goes_before_batch_and_batch_is_not_starved() -> None:
    load = _Load(AdmissionSettings(max_in_flight=1, batch=None, patience=1000))
    load.ask(1, service=0.05)
    await _settle()
    load.ask(60, "batch", Priority.BATCH, service=0)
    load.ask(60, "interactive", service=0)
    await load.ended()
    first = Counter(load.answered[1:51])
    assert 40 <= first["interactive"] <= 46
    assert 4 <= first["batch"] <= 10


async def test_callers_of_one_class_take_turns() -> None:
    load = _Load(AdmissionSettings(max_in_flight=1, batch=None, patience=1000))
    load.ask(1, service=0.05)
    await _settle()
    load.ask(100, "flood", service=0)
    load.ask(5, "alice", service=0)
    await load.ended()
    assert Counter(load.answered[:13])["alice"] == 5


async def test_a_full_room_sends_the_newest_batch_request_away_for_an_interactive_one() -> None:
    load = _Load(AdmissionSettings(max_in_flight=1, max_waiting=4, batch=None))
    load.ask(1)
    load.ask(4, "batch", Priority.BATCH)
    await _settle()
    load.ask(2, "interactive")
    await load.ended()
    assert Counter(load.answered) == {"": 1, "batch": 2, "interactive": 2}
    assert [type(error) for error in load.errors] == [Shed, Shed]
    assert load.refusals == {("SHED", Priority.BATCH): 2}


async def test_nobody_gives_way_to_an_image_that_would_find_no_place_all_the_same() -> None:
    load = _Load(AdmissionSettings(max_in_flight=1, max_waiting_bytes=10_000, batch=None))
    load.ask(1)
    await _settle()
    load.ask(4, "interactive", size=2_000)
    load.ask(15, "batch", Priority.BATCH)
    await _settle()
    load.ask(1, "large", cost=8.0, size=4_000)
    await _settle()
    assert (load.admission.waiting, load.refusals) == (19, {("BUSY", Priority.INTERACTIVE): 1})
    load.ask(1, "fitting", size=1_500)
    await _settle()
    assert load.refusals == {("BUSY", Priority.INTERACTIVE): 1, ("SHED", Priority.BATCH): 10}
    await load.ended()
    assert Counter(load.answered) == {"": 1, "interactive": 4, "batch": 5, "fitting": 1}


async def test_as_many_give_way_as_the_image_needs_those_of_the_lower_class_first() -> None:
    load = _Load(AdmissionSettings(max_in_flight=1, max_waiting_bytes=10_000, batch=None))
    load.ask(1)
    await _settle()
    load.ask(8, "flood", size=1_000)
    load.ask(20, "batch", Priority.BATCH)
    await _settle()
    load.ask(1, "alice", size=4_000)
    await load.ended()
    assert Counter(load.answered) == {"": 1, "flood": 6, "alice": 1}
    assert load.refusals == {("SHED", Priority.BATCH): 20, ("BUSY", Priority.INTERACTIVE): 2}


async def test_the_largest_image_may_wait_also_in_one_of_many_processes() -> None:
    load = _Load(AdmissionSettings(max_in_flight=64).of_one(64))
    load.ask(1)
    await _settle()
    load.ask(12, "batch", Priority.BATCH, size=100_000)
    load.ask(1, "large", size=GateSettings().max_bytes)
    await load.ended()
    assert "large" in load.answered


async def test_batch_never_takes_the_place_of_interactive() -> None:
    load = _Load(AdmissionSettings(max_in_flight=1, max_waiting=4, batch=None))
    load.ask(5, "interactive")
    await _settle()
    load.ask(3, "batch", Priority.BATCH)
    await load.ended()
    assert Counter(load.answered) == {"interactive": 5}
    assert load.refusals == {("BUSY", Priority.BATCH): 3}


async def test_a_caller_who_fills_the_room_loses_places_to_those_who_have_fewer() -> None:
    load = _Load(AdmissionSettings(max_in_flight=1, max_waiting=10, batch=None))
    load.ask(11, "flood")
    await _settle()
    load.ask(3, "alice")
    await load.ended()
    assert Counter(load.answered) == {"flood": 8, "alice": 3}


async def test_a_burst_is_worked_off_and_what_overflows_is_an_overload_that_shortens_the_queue() -> None:
    load = _Load(AdmissionSettings(max_in_flight=10, batch=None, patience=4, short_patience=0.5))
    load.ask(10 + 41)
    await _settle()
    assert (load.admission.waiting, load.admission.is_overloaded) == (41, False)
    load.ask(1)
    await _settle()
    assert (load.admission.waiting, load.admission.is_overloaded) == (5, True)
    assert load.refusals == {("BUSY", Priority.INTERACTIVE): 37}
    load.ask(10)
    await _settle()
    assert load.admission.waiting <= 6
    await load.ended()
    assert all(error.retry_after for error in load.errors)


async def test_an_overload_sheds_batch_first_and_leaves_it_its_tenth() -> None:
    load = _Load(AdmissionSettings(max_in_flight=10, batch=None, patience=4, short_patience=0.5))
    load.ask(10, "first")
    await _settle()
    load.ask(200, "batch", Priority.BATCH)
    load.ask(40, "interactive")
    await _settle()
    assert (load.admission.waiting_of(Priority.BATCH), load.refusals) == (200, {})
    load.ask(2, "interactive")
    await _settle()
    assert load.admission.is_overloaded
    assert [type(error) for error in load.errors[-231:-36]] == [Shed] * 195
    assert load.refusals == {("SHED", Priority.BATCH): 195, ("BUSY", Priority.INTERACTIVE): 37}
    load.ask(10, "late", Priority.BATCH)
    await _settle()
    assert load.refusals["BUSY", Priority.BATCH] == 7  # each key has its share of the few that may wait
    await load.ended()
    assert (Counter(load.answered)["batch"], Counter(load.answered)["late"]) == (5, 3)


async def test_that_batch_is_refused_does_not_keep_an_overload_going() -> None:
    load = _Load(AdmissionSettings(max_in_flight=1, batch=None, patience=4, short_patience=1))
    load.ask(7)
    await _settle()
    for _ in range(12):
        load.ask(5, "batch", Priority.BATCH)
        await asyncio.sleep(0.1)
    assert load.refusals["BUSY", Priority.BATCH] > 0
    assert not load.admission.is_overloaded
    load.ask(5, "batch", Priority.BATCH)
    await _settle()
    assert load.admission.waiting_of(Priority.BATCH) >= 4
    await load.ended()


async def test_the_log_says_when_an_overload_begins_and_when_it_was_over(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, dict[str, Any]]] = []

    def say(line: str, **more: Any) -> None:
        said.append((line.partition(":")[0], more))

    monkeypatch.setattr(overload, "_log", Mock(warning=say, info=say))
    one = overload.Overload()
    for began in (10.0, 30.0):
        assert not one.is_on(began)
        one.begin(began)
        one.begin(began + 0.5)
        assert one.is_on(began + 1.4)
        assert not one.is_on(began + 1.6)
        assert not one.is_on(began + 2)
    assert said == 2 * [("an overload begins", {}), ("the overload is over", {"seconds": 1.5})]


async def test_the_time_to_wait_grows_with_what_was_turned_away() -> None:
    load = _Load(AdmissionSettings(max_in_flight=4, max_waiting=4, batch=None))
    await _busy_for(load, 0.3)
    load.ask(208)
    await load.ended()
    first, *_, last = (error.retry_after or 0 for error in load.errors)
    assert first < last
    # 4 at once and 10 ms each is at most 400 a second; 200 were turned away.
    assert last > 0.3


async def test_what_cannot_be_answered_in_time_is_refused_at_once_with_the_estimate() -> None:
    load = _Load(AdmissionSettings(max_in_flight=1, batch=None, patience=1000))
    await _busy_for(load, 0.2)
    load.ask(100)
    await _settle()
    began = time.monotonic()
    with pytest.raises(DeadlineUnreachable, match="the deadline is in") as raised:
        async with load.admission.slot(1, Deadline.after(0.2)):
            raise AssertionError
    assert time.monotonic() - began < 0.1
    assert 0.3 < (raised.value.retry_after or 0) < 30
    await load.ended()


async def test_what_waited_for_triton_to_come_back_is_not_taken_for_its_pace() -> None:
    load = _Load(AdmissionSettings())
    await _busy_for(load, 0.2)
    load.ask(2, service=0.5)
    await _settle()
    load.admission.triton_up(False)
    load.ask(1, service=0.4)  # it came while Triton was away
    await asyncio.sleep(0.2)
    load.admission.triton_up(True)
    load.ask(1, service=0.6)
    await asyncio.gather(*load._tasks[:-1])
    async with load.admission.slot(1, Deadline.after(0.25)):
        pass
    assert not load.errors
    await load.ended()


async def test_too_short_a_deadline_is_refused_while_others_are_inside_but_an_idle_server_tries() -> None:
    load = _Load(AdmissionSettings())
    await _busy_for(load, 0.2)
    async with load.admission.slot(1, Deadline.after(0.001)):
        with pytest.raises(DeadlineUnreachable):
            await load.admission.slot(1, Deadline.after(0.001)).__aenter__()


async def test_who_waits_leaves_when_its_deadline_cannot_be_met_any_more() -> None:
    load = _Load(AdmissionSettings(max_in_flight=1, batch=None, patience=1000))
    load.ask(1, service=0.5)
    await _settle()
    began = time.monotonic()
    load.ask(50, seconds=0.05)
    await asyncio.gather(*(task for task in load._tasks[1:]))
    assert time.monotonic() - began < 0.4
    assert {type(error) for error in load.errors} == {DeadlineExceeded}
    assert (load.admission.waiting, load.admission.in_flight) == (0, 1)
    await load.ended()


async def test_a_thousand_cancelled_while_waiting_leave_nothing_behind_and_are_not_let_in() -> None:
    load = _Load(AdmissionSettings(max_in_flight=2, batch=None, patience=10_000))
    load.ask(2, "inside", service=1.0)
    await _settle()
    load.ask(1000, "gone", Priority.BATCH)
    await _settle()
    assert load.admission.waiting == 1000
    for task in load._tasks[2:]:
        task.cancel()
    await asyncio.gather(*load._tasks, return_exceptions=True)
    assert Counter(load.answered) == {"inside": 2}
    assert (load.admission.waiting, load.admission.in_flight) == (0, 0)


async def test_a_quota_is_refused_with_its_reason_and_counted() -> None:
    load = _Load(AdmissionSettings(quota_burst=1.0))
    caller = Caller("alice", requests_per_second=1.0)
    load.admission.charge(caller, 1.0, Priority.BATCH)
    with pytest.raises(QuotaExceeded) as raised:
        load.admission.charge(caller, 1.0, Priority.BATCH)
    assert 0.5 < (raised.value.retry_after or 0) <= 1.0
    assert load.refusals == {("QUOTA_EXCEEDED", Priority.BATCH): 1}


@pytest.mark.parametrize("whence", ["room", "inside"])
async def test_a_failure_of_one_never_keeps_the_next_from_its_turn(whence: str) -> None:
    load = _Load(AdmissionSettings(max_in_flight=1, batch=None))
    failing: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "room": lambda: _cancelled_in_the_room(load),
        "inside": lambda: _failing_inside(load),
    }
    await failing[whence]()
    load.ask(3, "next")
    await load.ended()
    assert load.answered[-3:] == ["next"] * 3
    assert (load.admission.waiting, load.admission.in_flight) == (0, 0)


async def _cancelled_in_the_room(load: _Load) -> None:
    load.ask(1)
    load.ask(1, "gone")
    await _settle()
    # Cancelled and, before it runs again, let in: the turn goes on to the next.
    load._tasks[1].cancel()
    await load._tasks[0]


async def _failing_inside(load: _Load) -> None:
    with pytest.raises(Busy):
        async with load.admission.slot(1, Deadline.after(1)):
            raise Busy("the model's queue is full")


class _Image:
    """Something that can be seen to be let go of."""


async def test_the_images_of_who_is_turned_away_are_let_go_of_without_a_garbage_collection() -> None:
    admission = Admission(AdmissionSettings(max_in_flight=10, batch=None, patience=4, short_patience=0.5))
    kept, why = list[weakref.ref[_Image]](), Counter[str]()

    async def ask(image: _Image) -> None:
        try:
            async with admission.slot(100, Deadline.after(30)):
                await asyncio.sleep(_SERVICE)
        except FoveaError as error:
            why[error.reason] += 1
            kept.append(weakref.ref(image))

    gc.collect()
    gc.disable()
    try:
        tasks = [asyncio.create_task(ask(_Image())) for _ in range(10 + 42)]
        await asyncio.gather(*tasks)
        tasks.clear()
        await _settle()
        assert why["BUSY"] == 37, "one that found the room full, and those beyond the short patience"
        assert [each for each in kept if each() is not None] == []
    finally:
        gc.enable()
