"""What a follower is told is all that the first process knows."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict

import pytest

from fovea_server.domain import Model, ModelIdentity
from fovea_server.errors import Draining, NotReady
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.readiness import Readiness
from fovea_server.workers.state import State


def _model(name: str, labels: tuple[str, ...] = ("one", "two")) -> Model:
    return Model(ModelIdentity(name, "1", "digest"), "preprocess_32", f"classify_{name}", labels, 5, "", "", "openvino")


def test_a_state_is_the_same_after_its_way_through_the_socket() -> None:
    readiness = Readiness()
    readiness.ready(1.5)
    state = State.of(readiness, Catalogue([_model("one"), _model("two", ())]))
    assert State.from_json(json.loads(json.dumps(state.to_json()))) == state
    assert asdict(state.standing) == {"reason": None, "draining": False, "restart_seconds": 1.5}


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
    assert raised.value.retry_after == 3.0
    first.ready(3.0)
    first.drain()
    copy.follow(first.standing)
    copy.check()
    with pytest.raises(Draining):
        copy.check_announced()
    assert heard == [False, True, False, False]


async def test_a_catalogue_follows_and_says_what_has_left() -> None:
    copy = Catalogue([])
    assert copy.follow([_model("one"), _model("two")]) == set()
    assert copy.default.identity.name == "one"
    assert copy.follow([_model("two"), _model("three")]) == {"one"}
    assert [model.identity.name for model in copy] == ["two", "three"]


async def test_a_model_is_out_of_service_once_no_process_uses_it() -> None:
    first, copy = Catalogue([_model("one"), _model("two")]), Catalogue([_model("one"), _model("two")])

    async def everywhere() -> None:
        await copy.until_returned(copy.follow(list(first)))

    first.everywhere = everywhere
    with copy.borrow(["two"]):
        removing = asyncio.create_task(first.remove("two"))
        await asyncio.sleep(0.05)
        assert [model.identity.name for model in copy] == ["one"]
        assert not removing.done()
    await asyncio.wait_for(removing, 5)
