"""Two gateway processes ask one Triton: what ends it is found as by one, and no bystander of the other is convicted."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.request.dying_triton import GOOD, KILLER, SLOW, Triton
from tests.waiting import eventually

from fovea_server.domain import Deadline
from fovea_server.errors import DeadlineExceeded, NotReady, Quarantined
from fovea_server.request.court import Court
from fovea_server.request.quarantine import Quarantine, digest_of
from fovea_server.request.readiness import Readiness
from fovea_server.request.suspects import Suspects
from fovea_server.triton.client import WorkerDied
from fovea_server.workers.channel import Channel
from fovea_server.workers.court_elsewhere import CourtElsewhere, DoorElsewhere, asked_of_court, asked_of_door


class Two:
    """The process that owns Triton, and one that follows it, with the socket between them."""

    def __init__(self, folder: Path) -> None:
        self.triton = Triton()
        self.readiness = [Readiness(), Readiness()]
        self.quarantines = [Quarantine(folder), Quarantine(folder)]
        self.court, self.elsewhere, self.door = Court(self.readiness[0]), CourtElsewhere(), DoorElsewhere()
        courts = (self.court, self.elsewhere)
        self.first, self.second = (
            Suspects(self.triton, quarantine, readiness, court)
            for quarantine, readiness, court in zip(self.quarantines, self.readiness, courts, strict=True)
        )

    async def open(self) -> None:
        ours, theirs = socket.socketpair()
        self.door.channel = await Channel.open(ours, asked_of_court(self.court, self.door))
        self.elsewhere.channel = await Channel.open(theirs, asked_of_door(self.second))
        self.court.join(self.first)
        self.court.join(self.door)
        self.be_ready()

    def close(self) -> None:
        self.door.channel.close()
        self.elsewhere.channel.close()

    def be_ready(self) -> None:
        for readiness in self.readiness:
            readiness.ready(1)

    async def ask(self, of_first: list[bytes], of_second: list[bytes], seconds: float = 5) -> list[list[object]]:
        """What each image gets when all are sent at once; afterwards Triton is ready again."""
        both = []
        for suspects, images in ((self.first, of_first), (self.second, of_second)):
            asked = [suspects.infer((), image, "id", Deadline.after(seconds)) for image in images]
            both.append(asyncio.gather(*asked, return_exceptions=True))
        outcomes = [[type(outcome) for outcome in await one] for one in both]
        await self.restarted()
        return outcomes

    async def restarted(self) -> None:
        await asyncio.sleep(0.05)
        for readiness in self.readiness:
            readiness.not_ready("it died")
        await asyncio.sleep(0.1)  # the digests are made meanwhile
        self.be_ready()

    @property
    def convicted(self) -> list[set[str]]:
        return [{kept.digest for kept in quarantine.all()} for quarantine in self.quarantines]


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    two = Two(tmp_path / "quarantine")
    await two.open()
    yield two
    two.close()


@pytest.mark.parametrize("order", [("first", "first"), ("second", "second"), ("first", "second"), ("second", "first")])
async def test_what_dies_alone_twice_is_refused_by_both_whichever_was_asked(two: Two, order: tuple[str, str]) -> None:
    for number, process in enumerate(order):
        sent = ([KILLER], []) if process == "first" else ([], [KILLER])
        assert [WorkerDied] in await two.ask(*sent)
        assert two.convicted == [{digest_of(KILLER)} if number else set()] * 2
    assert await two.ask([KILLER, GOOD[0]], [KILLER, GOOD[1]]) == [[Quarantined, list]] * 2
    assert two.triton.deaths == 2


@pytest.mark.parametrize("killer_in", [0, 1])
async def test_those_who_were_beside_it_in_the_other_process_are_run_alone_and_never_convicted(
    two: Two, killer_in: int
) -> None:
    sent = [GOOD[:2], GOOD[2:4]]
    sent[killer_in] = [KILLER, *sent[killer_in][:1]]
    assert await two.ask(*sent) == [[WorkerDied] * 2] * 2
    assert len(two.first._strikes) == len(two.second._strikes) == 4
    outcomes = await two.ask(*sent)
    assert outcomes[killer_in][0] is WorkerDied
    assert {each for of_one in outcomes for each in of_one} <= {list, WorkerDied, NotReady}
    assert two.triton.most_beside_a_killer == 0
    assert two.convicted == [{digest_of(KILLER)}] * 2
    outcomes = await two.ask(*sent)
    assert outcomes[killer_in] == [Quarantined, list]
    assert outcomes[1 - killer_in] == [list, list]
    assert not two.first._strikes
    assert not two.second._strikes


async def test_of_copies_sent_to_both_at_once_none_is_asked_about_after_the_verdict(two: Two) -> None:
    await two.ask([KILLER], [])
    outcomes = await two.ask([KILLER] * 3, [KILLER] * 3)
    flat = [each for of_one in outcomes for each in of_one]
    assert sorted(map(str, flat)) == sorted(map(str, [WorkerDied, *[Quarantined] * 5]))
    assert two.triton.deaths == 2


async def test_an_answer_of_one_process_acquits_the_image_in_the_other(two: Two) -> None:
    asking = asyncio.create_task(two.ask([GOOD[0]], [GOOD[0]]))
    await asyncio.sleep(0.01)
    two.triton.die()  # from outside
    assert await asking == [[WorkerDied]] * 2
    assert digest_of(GOOD[0]) in two.first._strikes
    assert digest_of(GOOD[0]) in two.second._strikes
    assert await two.ask([], [GOOD[0]]) == [[], [list]]
    assert not two.first._strikes
    assert two.convicted == [set(), set()]


async def test_both_refuse_what_neither_can_save(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Quarantine, "_save", full)
    for _ in range(2):
        await two.ask([], [KILLER])
    assert await two.ask([KILLER], [KILLER]) == [[Quarantined], [Quarantined]]


async def test_nobody_is_convicted_by_a_death_at_which_a_process_cannot_say_what_it_had_inside(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent() -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr("fovea_server.request.court._PATIENCE", 0.02)
    monkeypatch.setattr(two.door, "present", silent)
    for _ in range(3):
        assert await two.ask([KILLER], []) == [[WorkerDied], []]
    assert two.convicted == [set(), set()]
    monkeypatch.undo()
    assert await two.ask([KILLER], []) == [[WorkerDied], []]
    assert two.convicted == [{digest_of(KILLER)}] * 2


async def test_what_a_process_that_is_gone_had_inside_may_have_been_the_cause(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fovea_server.request.court.LEFT_SECONDS", 0.5)
    await two.ask([KILLER], [])
    two.court.leave(two.door)
    await two.ask([KILLER], [])
    assert two.convicted == [set(), set()]
    await asyncio.sleep(0.5)
    await two.ask([KILLER], [])
    assert two.convicted[0] == {digest_of(KILLER)}


async def test_the_turn_of_a_process_that_is_gone_is_over(two: Two) -> None:
    await two.ask([KILLER], [GOOD[0]])
    assert await two.elsewhere.take_turn(two.second)
    assert not await two.court.take_turn(two.first)
    waiting = asyncio.create_task(two.ask([GOOD[0], GOOD[1]], []))
    await asyncio.sleep(0.2)
    assert two.triton.inside == []
    two.court.leave(two.door)
    assert await waiting == [[list, list], []]


async def test_what_is_inside_elsewhere_is_waited_for(two: Two) -> None:
    await two.ask([KILLER], [GOOD[0]])
    two.triton.die = lambda: None  # type: ignore[method-assign]
    beside = asyncio.create_task(two.second.infer((), GOOD[1], "id", Deadline.after(5)))
    await eventually(lambda: bool(two.triton.inside), 5, every=0)
    with contextlib.suppress(WorkerDied):
        await two.first.infer((), KILLER, "id", Deadline.after(5))
    assert await beside == []
    assert two.triton.most_beside_a_killer == 0


async def test_but_not_for_ever(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fovea_server.request.suspects._LONGEST_ALONE", 0.1)
    await two.ask([KILLER], [GOOD[0]])
    slow = asyncio.create_task(two.second.infer((), SLOW, "id", Deadline.after(1)))
    await eventually(lambda: bool(two.triton.inside), 5, every=0)
    with pytest.raises(DeadlineExceeded, match="while the images before it were being answered"):
        await two.first.infer((), KILLER, "id", Deadline.after(5))
    with pytest.raises(DeadlineExceeded):
        await slow
    assert two.triton.deaths == 1


async def test_a_process_whose_first_one_is_gone_says_so_and_goes_on_with_what_is_no_suspect(two: Two) -> None:
    await two.ask([KILLER], [GOOD[0]])
    two.door.channel.close()
    await asyncio.sleep(0.05)
    with pytest.raises(NotReady, match="the server's first process cannot be asked"):
        await two.second.infer((), GOOD[0], "id", Deadline.after(1))
    assert await two.second.infer((), GOOD[1], "id", Deadline.after(1)) == []
