"""The health service: every watcher hears of every change, whatever the others do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.ports import free_ports

from fovea_server.edge.grpc_health import Health

_SERVING, _NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
_ALL = health_pb2.HealthCheckRequest()
Served = tuple[Health, Any]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    health, server, (port,) = Health(("", "ours")), grpc.aio.server(), free_ports(1)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health, health_pb2_grpc.HealthStub(channel)
    await server.stop(0)


async def _heard(watch: Any) -> int:
    return int((await asyncio.wait_for(watch.read(), 5)).status)


async def test_a_service_is_not_serving_until_it_is_and_others_are_not_found(served: Served) -> None:
    health, stub = served
    assert (await stub.Check(_ALL)).status == _NOT_SERVING
    health.set(True)
    assert (await stub.Check(health_pb2.HealthCheckRequest(service="ours"))).status == _SERVING
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.Check(health_pb2.HealthCheckRequest(service="theirs"))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watcher_who_leaves_does_not_keep_the_others_from_hearing(served: Served) -> None:
    health, stub = served
    stays, leaves = stub.Watch(_ALL), stub.Watch(_ALL)
    assert (await _heard(stays), await _heard(leaves)) == (_NOT_SERVING, _NOT_SERVING)
    leaves.cancel()
    await asyncio.sleep(0.1)
    health.set(True)
    assert await _heard(stays) == _SERVING
    health.set(False)
    assert await _heard(stays) == _NOT_SERVING


async def test_one_connection_has_so_many_watches_and_may_have_others_instead(served: Served) -> None:
    _, stub = served
    watches = [stub.Watch(_ALL) for _ in range(16)]
    await asyncio.gather(*map(_heard, watches))
    with pytest.raises(grpc.aio.AioRpcError, match="at most 16 watches over one connection"):
        await stub.Watch(_ALL).read()
    watches[0].cancel()
    await asyncio.sleep(0.1)
    assert await _heard(stub.Watch(_ALL)) == _NOT_SERVING
