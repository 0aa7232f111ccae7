"""The gRPC generator against a real gRPC server."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from tests.client.scripted import Refused, Script, grpc_server, http_server

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


async def test_photographs_larger_than_any_window_arrive_whole() -> None:
    large = Photograph("large.jpg", "image/jpeg", bytes(range(256)) * 12_000)  # 3 MB
    script = Script()
    with grpc_server(script) as target:
        load = await rpc.measure(target, (large, IMAGES[0]), Open(20.0), 0.5)
    assert (load.served, load.errors) == (10, {})
    assert {asked.image for asked in script.asked} == {large.encoded, IMAGES[0].encoded}


async def test_what_is_refused_before_it_is_sent_is_counted_and_the_connection_goes_on() -> None:
    class _Door(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            async def refuse(_: Any, context: Any) -> None:
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no key")

            return grpc.stream_unary_rpc_method_handler(refuse)

    server = grpc.aio.server(interceptors=[_Door()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        huge = Photograph("huge.jpg", "image/jpeg", bytes(9_000_000))  # more than may be sent ahead
        load = await rpc.measure(f"127.0.0.1:{port}", (huge,), Closed(1), 0.5)
    finally:
        await server.stop(0)
    assert load.served == 0
    assert load.errors["UNAUTHENTICATED"] > 1
    assert set(load.errors) == {"UNAUTHENTICATED"}


async def test_the_metadata_and_the_deadline_go_with_each_request() -> None:
    script = Script()
    with grpc_server(script) as target:
        await rpc.measure(target, IMAGES, Open(20.0), 0.3, {"Authorization": "Bearer k", "X-Priority": "batch"})
    assert {asked.authorization for asked in script.asked} == {"Bearer k"}
    assert {asked.context.get("x-priority") for asked in script.asked} == {"batch"}
    assert all(0 < asked.seconds <= 30 for asked in script.asked)


async def test_a_server_that_ends_its_connections_is_lost_and_not_waited_for() -> None:
    with grpc_server(Script()) as target:
        measuring = asyncio.create_task(rpc.measure(target, IMAGES, Closed(2), 30))
        await asyncio.sleep(0.3)
    load = await asyncio.wait_for(measuring, 10)
    assert load.served > 0
    assert set(load.errors) <= {"connection lost", "UNAVAILABLE", "CANCELLED"}


async def test_a_server_of_another_protocol_is_said_in_one_sentence() -> None:
    with http_server(Script()) as url, pytest.raises(LoadFailed, match="does not speak HTTP/2"):
        await asyncio.wait_for(rpc.measure(url.removeprefix("http://"), IMAGES, Closed(1), 0.1), 20)


async def test_an_address_without_a_port_is_refused() -> None:
    with pytest.raises(LoadFailed, match="somewhere is not an address"):
        await rpc.measure("somewhere", IMAGES, Closed(1), 0.1)


async def test_nobody_there_is_said_in_one_sentence() -> None:
    with pytest.raises(LoadFailed, match="nothing answers on"):
        await asyncio.wait_for(rpc.measure("127.0.0.1:1", IMAGES, Closed(1), 0.1), 20)
