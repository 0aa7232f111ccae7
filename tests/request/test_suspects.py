"""Who was inside when Triton died: bystanders are never convicted, and what ends processes is, soon."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.request.dying_triton import DAMAGED, GOOD, KILLER, SLOW, Triton

from fovea_server.domain import Deadline
from fovea_server.errors import DeadlineExceeded, NotReady, Quarantined, Undecodable
from fovea_server.request.court import Court
from fovea_server.request.doorway import Visit
from fovea_server.request.quarantine import Quarantine, digest_of
from fovea_server.request.readiness import Readiness
from fovea_server.request.suspects import Suspects
from fovea_server.triton.client import WorkerDied


class Bench:
    """Suspects around a Triton, and what is left of them."""

    def __init__(self, folder: Path) -> None:
        self.triton, self.readiness, self.quarantine = Triton(), Readiness(), Quarantine(folder)
        self.court = Court(self.readiness)
        self.suspects = Suspects(self.triton, self.quarantine, self.readiness, self.court)
        self.doorway = self.suspects._doorway
        self.court.join(self.suspects)
        self.readiness.ready(1)

    async def ask(self, *images: bytes, seconds: float = 5) -> list[object]:
        """What each gets when all are sent at once; afterwards Triton is ready again."""
        asked = [self.suspects.infer((), image, "id", Deadline.after(seconds)) for image in images]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        await self.restarted()
        return [type(outcome) for outcome in outcomes]

    async def restarted(self) -> None:
        await asyncio.sleep(0.05)
        self.readiness.not_ready("it died")
        self.suspects.died()
        await asyncio.sleep(0.05)  # the digests are made meanwhile
        self.readiness.ready(1)

    @property
    def convicted(self) -> set[str]:
        return {kept.digest for kept in self.quarantine.all()}


@pytest.fixture
async def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "quarantine")


async def test_what_dies_alone_twice_is_convicted_and_refused(bench: Bench) -> None:
    assert await bench.ask(KILLER) == [WorkerDied]
    assert not bench.convicted
    assert await bench.ask(KILLER) == [WorkerDied]
    assert bench.convicted == {digest_of(KILLER)}
    assert await bench.ask(KILLER, GOOD[0]) == [Quarantined, list]
    assert bench.triton.deaths == 2


async def test_of_a_few_each_is_run_alone_afterwards_and_the_killer_takes_nobody_with_it(bench: Bench) -> None:
    company = [KILLER, *GOOD[:3]]
    assert await bench.ask(*company) == [WorkerDied] * 4
    outcomes = await bench.ask(*company)
    assert outcomes[0] is WorkerDied
    assert set(outcomes[1:]) <= {list, WorkerDied, NotReady}
    assert bench.triton.most_beside_a_killer == 0
    assert bench.convicted == {digest_of(KILLER)}
    assert await bench.ask(*company) == [Quarantined, list, list, list]


async def test_who_waited_while_a_killer_was_alone_is_answered_once_what_it_ended_is_revived(bench: Bench) -> None:
    company = [KILLER, *GOOD[:3]]
    assert await bench.ask(*company) == [WorkerDied] * 4

    def die() -> None:
        bench.readiness.reviving("a process ended")
        asyncio.get_running_loop().call_later(0.05, bench.readiness.ready)
        Triton.die(bench.triton)

    bench.triton.die = die  # type: ignore[method-assign]
    bench.triton.is_gone = lambda: not bench.readiness.is_ready
    assert await bench.ask(*company) == [WorkerDied, list, list, list]


async def test_among_many_it_is_found_once_the_others_were_answered(bench: Bench) -> None:
    assert await bench.ask(KILLER, *GOOD) == [WorkerDied] * 21
    assert await bench.ask(*GOOD) == [list] * 20
    assert await bench.ask(KILLER, *GOOD) == [WorkerDied, *[list] * 20]
    assert bench.convicted == {digest_of(KILLER)}


async def test_among_many_that_never_come_again_it_is_found_at_the_third_death(bench: Bench) -> None:
    for number in range(2):
        await bench.ask(KILLER, *(b"once %d %02d" % (number, each) for each in range(20)))
        assert not bench.convicted
    assert await bench.ask(KILLER, *GOOD) == [WorkerDied, *[list] * 20]
    assert bench.convicted == {digest_of(KILLER)}


async def test_a_photograph_that_is_beside_one_killer_after_the_other_is_never_convicted(bench: Bench) -> None:
    photograph = GOOD[0]
    for number in range(6):
        await bench.ask(photograph, photograph, KILLER + b" no. %d" % number, *GOOD[1 : number + 1])
    assert digest_of(photograph) not in bench.convicted
    assert await bench.ask(photograph) == [list]


async def test_one_photograph_sent_by_many_survives_many_deaths_from_outside(bench: Bench) -> None:
    for _ in range(5):
        asking = asyncio.create_task(bench.ask(*[GOOD[0]] * 16))
        await asyncio.sleep(0.005)
        if not bench.suspects._strikes:
            bench.triton.die()
        await asking
        assert await bench.ask(GOOD[0]) == [list]
    assert not bench.convicted


async def test_a_killer_whose_caller_does_not_wait_is_convicted_all_the_same(bench: Bench) -> None:
    for _ in range(2):
        assert await bench.ask(KILLER, seconds=0.005) == [DeadlineExceeded]
    assert bench.convicted == {digest_of(KILLER)}


async def test_of_several_copies_sent_at_once_none_is_asked_about_after_the_verdict(bench: Bench) -> None:
    assert await bench.ask(KILLER) == [WorkerDied]
    assert sorted(map(str, await bench.ask(*[KILLER] * 4))) == sorted(map(str, [WorkerDied, *[Quarantined] * 3]))
    assert bench.triton.deaths == 2


async def test_a_copy_that_waited_since_before_the_verdict_is_not_asked_about_after_it(bench: Bench) -> None:
    assert await bench.ask(KILLER) == [WorkerDied]
    sizes, bench.suspects._sizes = bench.suspects._sizes, frozenset()
    bench.readiness.reviving("a process ended")  # nobody knows yet that the copy is of an image with a strike
    waiting = asyncio.create_task(bench.suspects.infer((), KILLER, "id", Deadline.after(5)))
    await asyncio.sleep(0.02)
    bench.suspects._sizes = sizes
    bench.quarantine.keep(KILLER, digest_of(KILLER), (), "id")
    bench.readiness.ready(1)
    with pytest.raises(Quarantined):
        await waiting
    assert bench.triton.deaths == 1


async def test_an_image_that_is_answered_with_its_fault_is_no_suspect_any_more(bench: Bench) -> None:
    bench.triton.die = lambda: None  # type: ignore[method-assign]
    bench.doorway._inside[0] = Visit(DAMAGED, (), "id")
    bench.suspects.died()
    del bench.doorway._inside[0]
    await asyncio.sleep(0.05)
    assert bench.suspects._strikes
    assert await bench.ask(DAMAGED) == [Undecodable]
    assert not bench.suspects._strikes


async def test_copies_of_what_was_answered_alone_do_not_wait_for_the_time_of_others(bench: Bench) -> None:
    bench.doorway._inside[0] = Visit(GOOD[0], (), "id")
    bench.suspects.died()
    del bench.doorway._inside[0]
    await asyncio.sleep(0.05)
    bench.readiness.reviving("a process ended")
    bench.court._next_turn = lambda: None  # type: ignore[method-assign]  # that time never ends
    asked = [asyncio.create_task(bench.suspects.infer((), GOOD[0], "id", Deadline.after(5))) for _ in range(4)]
    await asyncio.sleep(0.05)
    bench.readiness.ready(1)
    assert await asyncio.gather(*asked) == [[]] * 4


async def test_the_time_of_others_does_not_count_what_all_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fovea_server.request.suspects._LONGEST_ALONE", 0.5)
    for image in GOOD[:2]:
        bench.doorway._inside[0] = Visit(image, (), "id")
        bench.suspects.died()
        del bench.doorway._inside[0]
        await asyncio.sleep(0.05)
        bench.doorway._same_death_until = bench.court._same_death_until = 0
    assert len(bench.suspects._strikes) == 2
    bench.readiness.reviving("a process ended")
    asked = [asyncio.create_task(bench.suspects.infer((), image, "id", Deadline.after(4))) for image in GOOD[:2]]
    await asyncio.sleep(2.5)  # longer than anything is alone
    bench.readiness.ready(1)
    assert await asyncio.gather(*asked) == [[], []]


async def test_nor_where_the_death_comes_while_a_suspect_waits_for_what_is_inside(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fovea_server.request.suspects._LONGEST_ALONE", 0.5)
    bench.doorway._inside[0] = Visit(GOOD[0], (), "id")
    bench.suspects.died()
    await asyncio.sleep(0.05)
    assert bench.suspects._strikes
    bench.doorway.empty.clear()  # as one is inside
    alone = asyncio.create_task(bench.suspects.infer((), GOOD[0], "id", Deadline.after(5)))
    await asyncio.sleep(0.05)
    bench.readiness.reviving("a process ended")
    del bench.doorway._inside[0]
    bench.doorway.empty.set()
    await asyncio.sleep(1)  # longer than anything is alone
    bench.readiness.ready(1)
    assert await alone == []


async def test_who_waited_beside_others_and_is_a_suspect_by_now_is_run_alone(bench: Bench) -> None:
    for number, image in enumerate(GOOD[:5]):
        bench.doorway._inside[number] = Visit(image, (), "id")
    bench.suspects.died()
    bench.doorway._inside.clear()
    await asyncio.sleep(0.05)
    bench.readiness.reviving("a process ended")
    asked = asyncio.create_task(bench.suspects.infer((), GOOD[0], "id", Deadline.after(5)))
    await asyncio.sleep(0.05)
    bench.suspects._acquit(digest_of(GOOD[4]))
    alone = []
    bench.triton.is_gone = lambda: bool(alone.append(bench.doorway.opened.is_set()))  # as it is asked
    bench.readiness.ready(1)
    assert await asked == []
    assert alone == [False]


async def test_others_have_as_much_time_as_suspects_that_come_one_after_the_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fovea_server.request.suspects._LONGEST_ALONE", 0.1)
    bench.doorway._inside[0] = Visit(SLOW, (), "id")
    bench.suspects.died()
    del bench.doorway._inside[0]
    await asyncio.sleep(0.05)
    slow = [asyncio.create_task(bench.suspects.infer((), SLOW, "id", Deadline.after(1))) for _ in range(50)]
    answered, end = 0, asyncio.get_running_loop().time() + 1
    while asyncio.get_running_loop().time() < end:
        await bench.suspects.infer((), GOOD[0], "id", Deadline.after(5))
        answered += 1
    assert answered >= 3  # of the 16 that fit into a second without them
    assert {type(each) for each in await asyncio.gather(*slow, return_exceptions=True)} == {DeadlineExceeded}


async def test_the_end_of_the_server_convicts_nobody(bench: Bench) -> None:
    await bench.ask(KILLER)
    bench.readiness.drain()
    assert await bench.ask(KILLER) == [WorkerDied]
    assert not bench.convicted


async def test_who_has_no_time_is_not_kept_waiting_for_an_image_that_is_run_alone(bench: Bench) -> None:
    await bench.ask(KILLER)
    alone = asyncio.create_task(bench.suspects.infer((), KILLER, "id", Deadline.after(5)))
    for _ in range(5000):
        if KILLER in bench.triton.inside:
            break
        await asyncio.sleep(0.001)
    with pytest.raises(DeadlineExceeded, match="another image was run alone"):
        await bench.suspects.infer((), GOOD[0], "id", Deadline.after(0))
    with pytest.raises(WorkerDied):
        await alone
