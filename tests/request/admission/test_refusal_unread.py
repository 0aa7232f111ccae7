"""What is refused before its body is read: only what would be refused whatever it is."""

from __future__ import annotations

import asyncio

import pytest

from fovea_server.domain import Deadline, Priority
from fovea_server.errors import Busy
from fovea_server.request.admission import Admission, AdmissionSettings

pytestmark = pytest.mark.usefixtures("virtual_time")

_SETTINGS = AdmissionSettings(max_in_flight=4, batch=None, patience=2.0, short_patience=0.5)


async def _overloaded(admission: Admission, caller: str = "") -> list[asyncio.Task[None]]:
    """More than may wait has come, and still holds its place."""

    async def hold() -> None:
        async with admission.slot(100, Deadline.after(30), caller=caller):
            await asyncio.sleep(30)

    tasks = [asyncio.create_task(hold()) for _ in range(40)]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def _gone(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_nothing_is_certain_while_there_is_no_overload() -> None:
    assert Admission(_SETTINGS).refusal_unread(Priority.INTERACTIVE) is None


async def test_during_an_overload_interactive_requests_are_refused_and_batch_may_still_wait() -> None:
    admission = Admission(_SETTINGS)
    tasks = await _overloaded(admission)
    refusal = admission.refusal_unread(Priority.INTERACTIVE)
    assert isinstance(refusal, Busy)
    assert refusal.retry_after
    assert admission.refusal_unread(Priority.BATCH) is None
    await _gone(tasks)


async def test_batch_of_which_too_much_waits_is_refused_unread_and_prolongs_nothing() -> None:
    admission = Admission(_SETTINGS)
    tasks = await _overloaded(admission)

    async def wait() -> None:
        async with admission.slot(100, Deadline.after(30), priority=Priority.BATCH):
            pass

    tasks += [asyncio.create_task(wait()) for _ in range(3)]
    await asyncio.sleep(0.9)
    assert isinstance(admission.refusal_unread(Priority.BATCH), Busy)
    await asyncio.sleep(0.2)
    assert not admission.is_overloaded
    await _gone(tasks)


async def test_batch_whose_bodies_are_coming_does_not_shut_the_door_for_interactive_requests() -> None:
    admission = Admission(_SETTINGS)
    tasks = await _overloaded(admission)
    await _gone(tasks[4:])
    while admission.refusal_unread(Priority.BATCH) is None:
        pass
    assert admission.refusal_unread(Priority.INTERACTIVE) is None
    await _gone(tasks)


async def test_no_more_are_let_past_than_there_are_places_though_none_has_arrived_yet() -> None:
    admission = Admission(_SETTINGS)
    tasks = await _overloaded(admission)
    waiting = [task for task in tasks[4:] if not task.done()]
    await _gone(waiting)
    past = [admission.refusal_unread(Priority.INTERACTIVE) for _ in range(50)].count(None)
    assert 1 <= past <= 4
    await _gone(tasks)


async def test_those_who_were_let_past_and_never_came_do_not_shut_the_door_for_ever() -> None:
    admission = Admission(_SETTINGS)
    tasks = await _overloaded(admission)
    await _gone(tasks[4:])
    while admission.refusal_unread(Priority.INTERACTIVE) is None:
        pass
    await asyncio.sleep(0.6)
    assert admission.refusal_unread(Priority.INTERACTIVE) is None
    await _gone(tasks)


async def test_a_key_that_sends_too_much_is_turned_away_and_the_others_are_not() -> None:
    admission = Admission(_SETTINGS)
    tasks = await _overloaded(admission, "flood")
    assert isinstance(admission.refusal_unread(Priority.INTERACTIVE, "flood"), Busy)
    assert admission.refusal_unread(Priority.INTERACTIVE, "alice") is None
    await _gone(tasks)


async def test_a_key_whose_bodies_are_coming_does_not_shut_the_door_for_the_others() -> None:
    admission = Admission(_SETTINGS)
    tasks = await _overloaded(admission, "flood")
    await _gone(tasks[4:])
    while admission.refusal_unread(Priority.INTERACTIVE, "flood") is None:
        pass
    assert admission.refusal_unread(Priority.INTERACTIVE, "alice") is None
    await _gone(tasks)
