"""Messages that are no protobuf, or do not come, are refused with a type, and counted as on REST."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.edge.faces import faces
from tests.edge.slow_calls import dawdle

from fovea_client.wire import vision_pb2
from fovea_server.edge.grpc_servicer import NAME
from fovea_server.edge.listen import ConnectionLimits


async def test_messages_that_are_no_protobuf_are_refused_and_counted() -> None:
    async with faces() as served, grpc.aio.insecure_channel(served.grpc) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as one:
            await channel.unary_unary(f"/{NAME}/Classify")(b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as several:
            await channel.stream_stream(f"/{NAME}/ClassifyStream")(iter([b"\xff\xff"])).read()
        assert one.value.code() is several.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert served.refusals("MALFORMED_REQUEST") == 2


async def test_a_call_without_a_message_is_refused() -> None:
    async with faces() as served, grpc.aio.insecure_channel(served.grpc) as channel:
        call = channel.stream_unary(f"/{NAME}/Classify")(iter(()))
        with pytest.raises(grpc.aio.AioRpcError, match="without a message") as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert served.refusals("MALFORMED_REQUEST") == 1


async def test_callers_who_leave_come_late_or_send_too_much_are_not_said_to_be_malformed() -> None:
    async with faces() as served, grpc.aio.insecure_channel(served.grpc) as channel:
        gone = [dawdle(served.grpc, f"/{NAME}/Classify", b"a", every=0.05, patience=0.3) for _ in range(5)]
        assert await asyncio.gather(*gone) == [({}, float("inf"))] * 5
        late = [dawdle(served.grpc, f"/{NAME}/Classify", b"a", every=0.05, patience=5, deadline=0.3) for _ in range(5)]
        codes = {said.get("grpc-status") for said, _ in await asyncio.gather(*late)}
        assert codes == {str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0])}
        with pytest.raises(grpc.aio.AioRpcError) as large:
            await channel.unary_unary(f"/{NAME}/Classify")(bytes(33 << 20))
        assert large.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await asyncio.sleep(0.3)
        assert served.refusals("MALFORMED_REQUEST") == 0


@pytest.mark.parametrize("sent", ["nothing", "a byte at a time"])
async def test_a_message_that_does_not_come_in_time_ends_the_call_and_no_other(sent: str, espresso: bytes) -> None:
    async with faces(limits=ConnectionLimits(body_seconds=0.6)) as served:
        async with grpc.aio.insecure_channel(served.grpc) as channel:
            drip = b"" if sent == "nothing" else b"\xff"
            slow = asyncio.create_task(dawdle(served.grpc, f"/{NAME}/Classify", drip, every=0.05, patience=10))
            ask = channel.unary_unary(f"/{NAME}/Classify", response_deserializer=vision_pb2.ClassifyResponse.FromString)
            request = vision_pb2.ClassifyRequest(image=espresso).SerializeToString()
            while not slow.done():
                assert (await ask(request, timeout=10)).model.name == "m"
            said, seconds = slow.result()
        assert said["grpc-status"] == str(grpc.StatusCode.INVALID_ARGUMENT.value[0])
        assert said["grpc-message"].startswith("the message was not complete after 0.6 s")
        assert 0.5 < seconds < 5
        assert served.refusals("RECEIVE_TIMEOUT") == 1


@pytest.mark.parametrize("method", ["Check", "Watch"])
async def test_a_question_for_health_that_does_not_come_is_not_waited_for_either(method: str) -> None:
    async with faces(limits=ConnectionLimits(body_seconds=0.3)) as served:
        said, _ = await dawdle(served.grpc, f"/grpc.health.v1.Health/{method}", b"", every=0.05, patience=10)
        assert said["grpc-message"].startswith("the message was not complete after 0.3 s")
        async with grpc.aio.insecure_channel(served.grpc) as channel:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
