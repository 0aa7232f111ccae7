"""A copy is worth less than anything else, and what both arms say of an image is compared."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.request.questions import a_model, a_question
from tests.studies.made_up import place

from fovea_server.domain import Answer, Deadline, Exposure, Inference, Model
from fovea_server.errors import InferenceFailed
from fovea_server.metrics import Metrics
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.routing import Arm, Plan, Routing, Split
from fovea_server.studies.shadow import Shadow
from fovea_server.studies.tally import Tally

_CONTROL, _CANDIDATE = Arm("control", "alpha", 1.0), Arm("candidate", "beta", 0.0)
_SPLIT = Split("trial", "salt", "request", (_CONTROL, _CANDIDATE), shadow=_CANDIDATE, shadow_share=1.0)


class Engine:
    """Says cat after a while, and remembers whom it was asked about."""

    def __init__(self, takes: float = 0.0) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.fails = False
        self._takes = takes

    async def infer(
        self, models: Sequence[Model], image: bytes, request_id: str, deadline: Deadline
    ) -> list[Inference]:
        self.asked.append((models[0].identity.name, image))
        await asyncio.sleep(self._takes)
        if self.fails:
            raise InferenceFailed("no")
        zeros = np.zeros(3, np.float32)
        return [Inference(np.array([0.8, 0.2], np.float32), zeros, zeros, None, None)]


class Desk:
    def __init__(self, split: Split = _SPLIT, busy_share: float = 1.0, takes: float = 0.0) -> None:
        self.engine, self.metrics, self.idle = Engine(takes), Metrics(), True
        self.tally = Tally(self.metrics)
        catalogue = Catalogue([a_model("alpha"), a_model("beta")])
        self.routing = Routing(catalogue, self.tally)
        self.routing.plan = Plan({"alpha": split})
        self.shadow = Shadow(
            busy_share, self.engine, catalogue, lambda: self.idle, self.routing, self.tally, self.metrics
        )

    def offer(self, label: str = "cat", arm: str = "control", identity: str = "a1") -> None:
        self.shadow.offer(a_question(identity), b"as served", _answer(label, arm))

    def copies(self, outcome: str) -> float:
        return self.metrics.registry.get_sample_value("fovea_shadow_copies_total", {"outcome": outcome}) or 0


def _answer(label: str, arm: str) -> Answer:
    result: Any = SimpleNamespace(predictions=[SimpleNamespace(label=label)])
    unused: Any = None
    return Answer("a1", unused, (result,), unused, exposure=Exposure("trial", arm, "0" * 16))


@pytest.mark.parametrize(("label", "differed"), [("cat", 0), ("dog", 1)])
async def test_the_candidate_is_asked_about_the_same_image_and_both_are_compared(label: str, differed: int) -> None:
    desk = Desk()
    desk.offer(label)
    await asyncio.sleep(0.05)
    assert desk.engine.asked == [("beta", b"as served")]
    counts = desk.tally.counted()[place("candidate")]
    assert (counts.compared, counts.differed) == (1, differed)
    disagreements = desk.tally.take_disagreements()
    assert [(each.control, each.candidate) for each in disagreements] == [("dog", "cat")][:differed]
    assert all(len(each.sha256) == 64 for each in disagreements)


async def test_while_the_gateway_has_anything_to_do_copies_are_dropped_and_counted() -> None:
    desk = Desk()
    desk.idle = False
    desk.offer()
    await asyncio.sleep(0.05)
    assert desk.engine.asked == []
    assert desk.copies("dropped") == 1


async def test_whoever_comes_in_the_pause_before_a_copy_is_served_first_and_the_copy_is_dropped() -> None:
    desk = Desk()
    desk.offer()
    desk.idle = False
    await asyncio.sleep(0.05)
    assert desk.engine.asked == []
    assert desk.copies("dropped") == 1


async def test_there_is_one_copy_at_a_time_and_nobody_waits_for_it() -> None:
    desk = Desk(takes=0.2)
    began = time.perf_counter()
    for _ in range(10):
        desk.offer()
    assert time.perf_counter() - began < 0.1
    await asyncio.sleep(0.3)
    assert len(desk.engine.asked) == 1
    assert desk.copies("dropped") == 9


async def test_between_copies_there_is_a_rest_that_keeps_their_share_of_the_time() -> None:
    desk = Desk(busy_share=0.1, takes=0.02)
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        desk.offer()
        await asyncio.sleep(0.005)
    assert 1 <= len(desk.engine.asked) <= 6


async def test_a_copy_that_fails_hurts_nobody_and_is_counted() -> None:
    desk = Desk()
    desk.engine.fails = True
    desk.offer()
    await asyncio.sleep(0.05)
    assert desk.copies("failed") == 1
    assert desk.tally.counted() == {}


async def test_only_what_the_control_answered_is_copied_and_only_the_declared_share_of_it() -> None:
    desk = Desk()
    desk.offer(arm="candidate")
    desk.routing.plan = Plan()
    desk.offer()
    await asyncio.sleep(0.05)
    assert desk.engine.asked == []
    split = Split("trial", "salt", "request", (_CONTROL, _CANDIDATE), shadow=_CANDIDATE, shadow_share=0.3)
    exposure = Exposure("trial", "control", "")
    copied = sum(split.copied_to(f"r{number}", exposure) is not None for number in range(2000))
    assert copied / 2000 == pytest.approx(0.3, abs=0.04)


async def test_a_copy_under_way_is_given_up_when_the_server_stops() -> None:
    desk = Desk(takes=60)
    desk.offer()
    await asyncio.sleep(0.02)
    await asyncio.wait_for(desk.shadow.close(), 1)
