"""A refused call lets go of its image at once, and not when the garbage collector next comes by."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import grpc.aio
import pytest
from tests.edge.faces import faces

from fovea_client.wire import vision_pb2, vision_pb2_grpc
from fovea_server.errors import MalformedRequest


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _requests_alive() -> int:
    return sum(isinstance(each, vision_pb2.ClassifyRequest) for each in gc.get_objects())


@pytest.mark.parametrize(("image", "model"), [(b"no image", ""), (b"", ""), (b"no image", "unknown")])
@pytest.mark.usefixtures("without_collector")
async def test_nothing_of_it_is_kept(image: bytes, model: str) -> None:
    async with faces() as served, grpc.aio.insecure_channel(served.grpc) as channel:
        vision = vision_pb2_grpc.VisionStub(channel)
        before = _requests_alive()
        for _ in range(5):
            with pytest.raises(grpc.aio.AioRpcError, match=r"INVALID_ARGUMENT|NOT_FOUND"):
                await vision.Classify(vision_pb2.ClassifyRequest(image=image, model=model), timeout=10)
        await asyncio.sleep(0.1)
        assert _requests_alive() - before <= 1, "the last may still be on its way"


@pytest.mark.usefixtures("without_collector")
async def test_nor_of_a_call_whose_message_is_none() -> None:
    async with faces() as served, grpc.aio.insecure_channel(served.grpc) as channel:
        method = channel.unary_unary("/fovea.v1.Vision/Classify", request_serializer=bytes)
        for _ in range(5):
            with pytest.raises(grpc.aio.AioRpcError, match="is no protobuf"):
                await method(b"\xff\xff", timeout=10)
        await asyncio.sleep(0.1)
        kept = [each for each in gc.get_objects() if isinstance(each, MalformedRequest)]
        assert len(kept) <= 1, "the last may still be on its way"


@pytest.mark.usefixtures("without_collector")
async def test_nor_of_a_stream_that_ends_at_a_message_that_is_none(espresso: bytes) -> None:
    good = vision_pb2.ClassifyRequest(image=espresso).SerializeToString()
    async with faces() as served, grpc.aio.insecure_channel(served.grpc) as channel:
        method = channel.stream_stream("/fovea.v1.Vision/ClassifyStream", request_serializer=bytes)
        before = _requests_alive()
        for _ in range(5):
            stream = method()
            await stream.write(good)
            await stream.read()
            await stream.write(b"\xff\xff no message")
            with pytest.raises(grpc.aio.AioRpcError):
                await stream.read()
        await asyncio.sleep(0.1)
        assert _requests_alive() - before <= 1, "the last may still be on its way"
