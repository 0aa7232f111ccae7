"""Who was inside when Triton died: rather one too many than one too few."""

from __future__ import annotations

import pytest
from tests.request.dying_triton import GOOD

from fovea_server.request import doorway
from fovea_server.request.doorway import Doorway, Visit
from fovea_server.request.readiness import Readiness

VISITS = [Visit(image, (), "id") for image in GOOD[:3]]


@pytest.fixture
def readiness() -> Readiness:
    readiness = Readiness()
    readiness.ready(1)
    return readiness


def test_who_went_in_between_two_signs_of_one_death_is_of_its_company(readiness: Readiness) -> None:
    door = Doorway(readiness)
    with door.inside(VISITS[0]):
        assert door.note_death()
    with door.inside(VISITS[1]):
        assert not door.note_death()
    assert door.company().visits == VISITS[:2]
    assert door.company().complete


def test_a_death_is_over_once_it_is_ready_again_not_when_it_is_said_once_more_that_it_is(readiness: Readiness) -> None:
    door = Doorway(readiness)
    with door.inside(VISITS[0]):
        door.note_death()
    readiness.ready(1)  # which says nothing about this death
    assert door.company().visits == VISITS[:1]
    readiness.reviving("a process ended")
    readiness.ready(1)
    assert door.company().visits == []


def test_who_left_is_of_the_company_for_a_while(readiness: Readiness, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Doorway(readiness)
    door.leave(VISITS[0])
    assert door.company().visits == VISITS[:1]
    monkeypatch.setattr(doorway, "LEFT_SECONDS", 0)
    door._same_death_until = 0
    assert door.company().visits == []


def test_where_more_left_than_are_remembered_the_company_is_not_complete(
    readiness: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorway, "_LEFT_IMAGES", 2)
    door = Doorway(readiness)
    for visit in VISITS[:2]:
        door.leave(visit)
    assert door.company().complete
    door.leave(VISITS[2])
    door._same_death_until = 0
    company = door.company()
    assert (company.visits, company.complete) == (VISITS[1:], False)
    readiness.reviving("a process ended")  # whoever left was in what is gone now
    readiness.ready(1)
    assert door.company().complete


async def test_it_is_empty_once_the_last_is_out(readiness: Readiness) -> None:
    door = Doorway(readiness)
    with door.inside(VISITS[0]):
        with door.inside(VISITS[1]):
            assert not door.empty.is_set()
        assert not door.empty.is_set()
    assert door.empty.is_set()
