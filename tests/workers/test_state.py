"""What a follower is told is all that the first process knows."""

from __future__ import annotations

import asyncio
import json

import pytest

from fovea_server.domain import Deadline, Model, ModelIdentity
from fovea_server.errors import CrashLoop, Draining, NotReady
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.readiness import Phase, Readiness, Standing
from fovea_server.workers.state import State


def _model(name: str, labels: tuple[str, ...] = ("one", "two"), version: str = "1") -> Model:
    identity = ModelIdentity(name, version, "digest")
    return Model(identity, "preprocess_32", name, f"classify_{name}", labels, 5, "", "", "openvino")


def _follow(copy: Catalogue, first: Catalogue) -> set[str]:
    state = State.of(Readiness(), first)
    return copy.follow(state.models, state.in_service)


def test_a_state_is_the_same_after_its_way_through_the_socket() -> None:
    readiness = Readiness()
    readiness.ready(1.5)
    state = State.of(readiness, Catalogue([_model("one"), _model("two", ())]))
    assert State.from_json(json.loads(json.dumps(state.to_json()))) == state
    assert state.standing == Standing(Phase.READY, "", state.standing.again_at, 1.5, 1.0)


def test_readiness_follows_with_the_reason_and_the_time_to_wait() -> None:
    first, copy = Readiness(), Readiness()
    heard: list[bool] = []
    copy.on_change(heard.append)
    first.ready(3.0)
    copy.follow(first.standing)
    first.not_ready("Triton is gone")
    copy.follow(first.standing)
    with pytest.raises(NotReady, match="Triton is gone") as raised:
        copy.check()
    assert raised.value.retry_after == pytest.approx(3.0, abs=0.5)
    first.ready(3.0)
    first.drain()
    copy.follow(first.standing)
    copy.check()
    with pytest.raises(Draining):
        copy.check_announced()
    assert heard == [False, True, False, False]


async def test_who_is_here_waits_in_each_process_while_models_are_revived() -> None:
    first, copy = Readiness(), Readiness()
    first.reviving("a process ended")
    copy.follow(State.from_json(json.loads(json.dumps(State.of(first, Catalogue([])).to_json()))).standing)
    copy.check()
    waiting = asyncio.create_task(copy.settled(Deadline.after(20)))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    first.crash_loop("10 deaths in 60 s", 30.0)
    copy.follow(first.standing)
    with pytest.raises(CrashLoop, match="10 deaths") as raised:
        await waiting
    assert raised.value.retry_after == pytest.approx(30.0, abs=0.5)


async def test_a_catalogue_follows_and_says_what_has_left() -> None:
    copy = Catalogue([])
    assert _follow(copy, Catalogue([_model("one"), _model("two")])) == set()
    assert copy.default.identity.name == "one"
    assert _follow(copy, Catalogue([_model("two"), _model("three")])) == {"one@1"}
    assert [model.identity.name for model in copy] == ["two", "three"]


async def test_a_version_that_takes_over_does_so_in_each_process() -> None:
    first, copy = Catalogue([_model("one"), _model("two")]), Catalogue([])
    first.add(_model("one", version="2"))
    _follow(copy, first)
    assert [model.identity.version for model in copy] == ["1", "1"]
    with copy.borrow(["one@2"]) as models:
        assert models[0].identity.version == "2"
    first.take_over(ModelIdentity("one", "2", "digest"))
    assert _follow(copy, first) == set()
    assert (copy.default.identity.name, copy.default.identity.version) == ("one", "2")


async def test_a_model_is_out_of_service_once_no_process_uses_it() -> None:
    first, copy = Catalogue([_model("one"), _model("two")]), Catalogue([_model("one"), _model("two")])

    async def everywhere() -> None:
        await copy.until_returned(_follow(copy, first))

    first.everywhere = everywhere
    with copy.borrow(["two"]):
        removing = asyncio.create_task(first.remove(ModelIdentity("two", "1", "digest")))
        await asyncio.sleep(0.05)
        assert [model.identity.name for model in copy] == ["one"]
        assert not removing.done()
    await asyncio.wait_for(removing, 5)
