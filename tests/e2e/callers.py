"""Many callers at once: every image gets an outcome, an answer's labels or the reason of its error."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import grpc
import grpc.aio
import httpx
from tests.e2e.served import Served

from fovea_client.wire import vision_pb2, vision_pb2_grpc


@dataclass(frozen=True)
class Outcome:
    """`labels` are class indices, best first; `reason` is set where there are none."""

    labels: tuple[int, ...]
    reason: str | None = None


async def over_rest(server: Served, images: Sequence[bytes], concurrency: int) -> list[Outcome]:
    async with _rest_client(server, concurrency) as client:
        return await _all(images, concurrency, lambda image: rest_outcome(client, image))


async def over_grpc(server: Served, images: Sequence[bytes], concurrency: int) -> list[Outcome]:
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        vision = vision_pb2_grpc.VisionStub(channel)
        return await _all(images, concurrency, lambda image: grpc_outcome(vision, image))


async def rest_outcome(client: httpx.AsyncClient, image: bytes) -> Outcome:
    """One request. An answer that is neither ours nor a problem of ours is a failed assertion."""
    try:
        response = await client.post("/v1/classify", content=image)
    except httpx.TransportError as error:
        return Outcome((), f"transport: {type(error).__name__}")
    document = response.json()
    if response.status_code == 200:
        return Outcome(tuple(prediction["index"] for prediction in document["predictions"]))
    assert response.headers["Content-Type"] == "application/problem+json", response.text
    return Outcome((), document["reason"])


async def grpc_outcome(vision: vision_pb2_grpc.VisionStub, image: bytes) -> Outcome:
    try:
        answer = await vision.Classify(vision_pb2.ClassifyRequest(image=image), timeout=30)
    except grpc.aio.AioRpcError as error:
        return Outcome((), error.code().name)
    return Outcome(tuple(prediction.index for prediction in answer.predictions))


@contextlib.asynccontextmanager
async def _rest_client(server: Served, concurrency: int) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=concurrency)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
        yield client


async def _all(images: Sequence[bytes], concurrency: int, ask: Callable[[bytes], Awaitable[Outcome]]) -> list[Outcome]:
    outcomes: list[Outcome | None] = [None] * len(images)
    places = iter(range(len(images)))

    async def work() -> None:
        for place in places:
            outcomes[place] = await ask(images[place])

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return [outcome for outcome in outcomes if outcome is not None]
