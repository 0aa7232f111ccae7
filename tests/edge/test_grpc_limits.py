"""What one caller may cost over gRPC: connections, metadata, pings."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import grpc.aio
from tests.edge.faces import Faces, faces
from tests.edge.slow_calls import PREFACE, SETTINGS, frame

from fovea_client.wire import vision_pb2, vision_pb2_grpc
from fovea_server.edge.listen import ConnectionLimits

_PING = 6


async def _open(served: Faces) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = served.grpc.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def test_a_caller_who_pings_without_end_is_sent_away() -> None:
    async with faces() as served:
        reader, writer = await _open(served)
        writer.write(PREFACE + frame(SETTINGS))
        hearing = asyncio.create_task(_heard(reader))
        while not hearing.done():
            writer.write(frame(_PING, payload=bytes(8)))
            await asyncio.sleep(0.01)
        assert b"too_many_pings" in hearing.result()
        writer.close()


async def _heard(reader: asyncio.StreamReader) -> bytes:
    """All that is said until the end of the connection."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while chunk := await asyncio.wait_for(reader.read(4096), 10):
            said += chunk
    return said


async def test_a_handshake_that_never_comes_is_cut() -> None:
    async with faces(limits=ConnectionLimits(header_seconds=0.5)) as served:
        reader, writer = await _open(served)
        await _heard(reader)
        assert reader.at_eof()
        writer.close()


async def test_connections_have_a_bound_and_come_free_again() -> None:
    async with faces(limits=ConnectionLimits(max_connections=4)) as served:
        opened = [await _open(served) for _ in range(4)]
        for _, writer in opened:
            writer.write(PREFACE + frame(SETTINGS))
        await asyncio.sleep(0.3)
        async with grpc.aio.insecure_channel(served.grpc) as channel:
            assert await _code(channel) is grpc.StatusCode.UNAVAILABLE
        for _, writer in opened:
            writer.close()
        await asyncio.sleep(0.3)
        async with grpc.aio.insecure_channel(served.grpc) as channel:
            assert await _code(channel) is grpc.StatusCode.OK


async def test_metadata_has_a_bound() -> None:
    async with faces() as served, grpc.aio.insecure_channel(served.grpc) as channel:
        assert await _code(channel, (("x-note", "a" * 8_000),)) is grpc.StatusCode.OK
        assert await _code(channel, (("x-note", "a" * 40_000),)) is grpc.StatusCode.RESOURCE_EXHAUSTED


async def _code(channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...] = ()) -> grpc.StatusCode:
    try:
        call = vision_pb2_grpc.VisionStub(channel).ListModels
        await call(vision_pb2.ListModelsRequest(), timeout=5, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
