"""The gRPC generator against a real gRPC server."""

from __future__ import annotations

import asyncio

import pytest
from tests.client.scripted import Refused, Script, grpc_server

from fovea_client.load import Closed, LoadFailed, Open, Photograph, rpc
from fovea_server.errors import Busy

IMAGES = (Photograph("a.jpg", "image/jpeg", b"x" * 1000), Photograph("b.jpg", "image/jpeg", b"y" * 10))


async def test_photographs_are_asked_about_in_turn() -> None:
    script = Script()
    with grpc_server(script) as target:
        load = await rpc.measure(target, IMAGES, Closed(2), 0.5)
    assert {asked.image for asked in script.asked} == {image.encoded for image in IMAGES}
    assert load.served == len(script.asked)
    assert (load.concurrency, load.errors) == (2, {})


async def test_in_an_open_loop_requests_come_at_their_rate() -> None:
    script = Script()
    with grpc_server(script) as target:
        load = await rpc.measure(target, IMAGES, Open(40.0), 0.5)
    assert (len(script.asked), load.served, load.rate) == (20, 20, 40.0)


async def test_refusals_are_counted_by_their_code() -> None:
    with grpc_server(Script(Refused(Busy("full")))) as target:
        load = await rpc.measure(target, IMAGES, Open(20.0), 0.5)
    assert (load.served, load.errors) == (0, {"RESOURCE_EXHAUSTED": 10})


async def test_nobody_there_is_said_in_one_sentence() -> None:
    with pytest.raises(LoadFailed, match="nothing answers on"):
        await asyncio.wait_for(rpc.measure("127.0.0.1:1", IMAGES, Closed(1), 0.1), 20)
