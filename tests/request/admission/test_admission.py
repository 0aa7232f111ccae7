"""Slots are counted, given in order, never lost, and the waiting room has a bound."""

from __future__ import annotations

import asyncio

import pytest

from fovea_server.domain import Deadline
from fovea_server.errors import Busy, DeadlineExceeded
from fovea_server.request.admission import Admission, AdmissionSettings
from fovea_server.request.conversion import ConversionSettings
from fovea_server.request.gate import GateSettings

pytestmark = pytest.mark.usefixtures("virtual_time")


def _far() -> Deadline:
    return Deadline.after(30)


async def _hold(admission: Admission, release: asyncio.Event, order: list[int], number: int) -> None:
    async with admission.slot(10, _far()):
        order.append(number)
        await release.wait()


async def _enter(admission: Admission, deadline: Deadline) -> None:
    async with admission.slot(10, deadline):
        pass


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_than_the_limit_are_in_flight_and_turns_come_in_order() -> None:
    admission = Admission(AdmissionSettings(max_in_flight=2))
    release, order = asyncio.Event(), list[int]()
    tasks = [asyncio.create_task(_hold(admission, release, order, number)) for number in range(6)]
    await _settle()
    assert (admission.in_flight, admission.waiting, order) == (2, 4, [0, 1])
    release.set()
    await asyncio.gather(*tasks)
    assert (admission.in_flight, admission.waiting, order) == (0, 0, [0, 1, 2, 3, 4, 5])


async def test_a_newcomer_does_not_overtake_those_who_wait() -> None:
    admission = Admission(AdmissionSettings(max_in_flight=1))
    first, order = asyncio.Event(), list[int]()
    tasks = [asyncio.create_task(_hold(admission, first, order, number)) for number in range(2)]
    await _settle()
    first.set()
    tasks.append(asyncio.create_task(_hold(admission, first, order, 2)))
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2]


@pytest.mark.parametrize(
    "settings",
    [
        AdmissionSettings(max_in_flight=1, max_waiting=2),
        AdmissionSettings(max_in_flight=1, max_waiting_bytes=20),
    ],
)
async def test_a_full_waiting_room_refuses_with_an_estimate(settings: AdmissionSettings) -> None:
    admission = Admission(settings)
    release = asyncio.Event()
    tasks = [asyncio.create_task(_hold(admission, release, [], number)) for number in range(3)]
    await _settle()
    with pytest.raises(Busy, match="2 requests with 20 bytes are waiting") as raised:
        await _enter(admission, _far())
    assert raised.value.retry_after is not None
    assert raised.value.retry_after > 0
    release.set()
    await asyncio.gather(*tasks)
    assert admission.in_flight == 0


async def test_a_turn_that_does_not_come_in_time_is_a_deadline() -> None:
    admission = Admission(AdmissionSettings(max_in_flight=1))
    release = asyncio.Event()
    holder = asyncio.create_task(_hold(admission, release, [], 0))
    await _settle()
    with pytest.raises(DeadlineExceeded, match="while 1 requests were waiting"):
        await _enter(admission, Deadline.after(0.02))
    assert admission.waiting == 0
    release.set()
    await holder
    assert admission.in_flight == 0


async def test_cancelling_those_who_wait_or_hold_never_loses_a_slot() -> None:
    admission = Admission(AdmissionSettings(max_in_flight=2))
    release = asyncio.Event()
    tasks = [asyncio.create_task(_hold(admission, release, [], number)) for number in range(20)]
    await _settle()
    for task in tasks[::3]:
        task.cancel()
    await _settle()
    release.set()
    for task in tasks[1::3]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (admission.in_flight, admission.waiting) == (0, 0)
    await asyncio.gather(*(_hold(admission, release, [], number) for number in range(2)))


async def test_a_failure_inside_gives_the_slot_back() -> None:
    admission = Admission(AdmissionSettings(max_in_flight=1))
    with pytest.raises(ZeroDivisionError):
        async with admission.slot(1, _far()):
            raise ZeroDivisionError
    assert admission.in_flight == 0


@pytest.mark.parametrize(("batch", "most"), [(None, 64), (1.0, 64), (8.0, 64), (32.0, 256), (64.0, 512), (128.0, 512)])
def test_eight_batches_may_be_inside_unless_somebody_says_otherwise(batch: float | None, most: int) -> None:
    assert AdmissionSettings(batch=batch).most_in_flight == most
    assert AdmissionSettings(max_in_flight=3, batch=batch).most_in_flight == 3
    assert AdmissionSettings(batch=batch).of_one(4).most_in_flight == most // 4


def test_processes_that_share_the_limits_hold_no_more_together() -> None:
    whole = AdmissionSettings(max_in_flight=64, max_waiting=1024, max_waiting_bytes=256_000_000)
    share = whole.of_one(3)
    assert (share.max_in_flight, share.max_waiting, share.max_waiting_bytes) == (21, 341, 85_333_333)
    assert share.batch == pytest.approx(8 / 3)
    assert whole.of_one(1) == whole


@pytest.mark.parametrize("processes", [2, 13, 64])
def test_the_largest_image_that_is_let_in_has_room_in_each_process_where_it_has_any(processes: int) -> None:
    largest = GateSettings().max_bytes
    for of_one in (AdmissionSettings().of_one(processes), ConversionSettings().of_one(processes)):
        assert of_one.max_waiting_bytes == max(256_000_000 // processes, largest)
    assert AdmissionSettings(max_waiting_bytes=1000).of_one(processes).max_waiting_bytes == 1000
