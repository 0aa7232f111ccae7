"""Load for a gRPC face: photographs to fovea.v1.Vision/Classify, in turn.

Requests are serialized beforehand and answers are left as bytes. In a closed loop each caller has a connection of its
own, as callers on different machines would; an open loop shares a few.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence

import grpc
import grpc.aio

from fovea_client.load.errors import LoadFailed
from fovea_client.load.loops import Loop, loop_of
from fovea_client.load.measured import Load
from fovea_client.load.photographs import Photograph
from fovea_client.load.schedule import Closed, Way
from fovea_client.wire import vision_pb2

GENERATOR = "fovea_client.load.rpc"
_METHOD = "/fovea.v1.Vision/Classify"
_TIMEOUT = 30.0  # seconds one answer may take
_CONNECT = 5.0
_SHARED = 8  # channels of an open loop, each with many calls under way
_OPTIONS = (
    # A connection of its own for each channel; by default they share one.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)


class _Caller:
    """One request at a time over a channel."""

    def __init__(self, channel: grpc.aio.Channel, loop: Loop, metadata: tuple[tuple[str, str], ...]) -> None:
        self._classify = channel.unary_unary(_METHOD)  # no serializers: bytes in, bytes out
        self._loop = loop
        self._metadata = metadata

    def send(self, request: bytes, since: float) -> None:
        self._asking = asyncio.ensure_future(self._ask(request, since))

    def close(self) -> None:
        self._loop.lost(self, None)

    async def _ask(self, request: bytes, since: float) -> None:
        failure = None
        try:
            await self._classify(request, timeout=_TIMEOUT, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            failure = error.code().name
        self._loop.answered(since, failure)
        self._loop.ready(self)


async def measure(
    address: str,
    images: Sequence[Photograph],
    way: Way,
    seconds: float,
    headers: Mapping[str, str] | None = None,
    stop: asyncio.Event | None = None,
) -> Load:
    """Ask the server at `address` (host:port) about `images`, over and over, for `seconds` or until `stop`."""
    requests = itertools.cycle(
        [vision_pb2.ClassifyRequest(image=image.encoded).SerializeToString() for image in images]
    )
    metadata = tuple((name.lower(), value) for name, value in (headers or {}).items())
    count = way.connections if isinstance(way, Closed) else min(_SHARED, way.connections)
    channels = [grpc.aio.insecure_channel(address, options=_OPTIONS) for _ in range(count)]
    turns = itertools.cycle(channels)

    async def connect() -> None:
        loop.ready(_Caller(next(turns), loop, metadata))

    try:
        await _connected(address, channels)
        loop = loop_of(way, requests, seconds, connect)
        cpu = time.process_time()
        await loop.run(stop, _TIMEOUT)
        cpu = time.process_time() - cpu
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))
    return loop.result(GENERATOR, cpu)


async def _connected(address: str, channels: Sequence[grpc.aio.Channel]) -> None:
    try:
        await asyncio.wait_for(asyncio.gather(*(channel.channel_ready() for channel in channels)), _CONNECT)
    except asyncio.TimeoutError as error:
        raise LoadFailed(f"nothing answers on {address}", "start the server with `fovea serve`") from error
