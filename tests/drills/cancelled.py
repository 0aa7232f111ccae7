"""Callers who hang up while they wait, over REST and gRPC: `python -m tests.drills.cancelled`."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass

import grpc.aio
from tests.drills.harness import inside, odd_images, open_loop
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import Drill
from tests.drills.harness.figures import Figure, all_of, at_most
from tests.drills.harness.running import main
from tests.e2e.served import Served

from fovea_client.wire import vision_pb2, vision_pb2_grpc

_HOLDERS = 24  # large images that fill Triton, so that all others must wait
_PATIENT = {"X-Request-Timeout": "120", "X-Priority": "batch"}  # interactive ones would be refused, not kept waiting
_PADDING = 100_000  # bytes behind an image that is quick to decode, so that it is as long as a photograph
_PATIENCE = 20.0  # seconds that the callers get to arrive


@dataclass(frozen=True)
class _Happened:
    waited: int  # were waiting when all hung up
    executed: int
    holders: int  # of them, answered
    waiting_gone: float  # seconds until none of them waited any more
    all_gone: float  # seconds until both gauges were 0, after the last who did not hang up had an answer


def run(bench: Bench) -> list[Figure]:
    callers = bench.scale.pick(full=1000, short=200)
    happened = asyncio.run(_drill(bench.server, callers))
    bench.note(callers=callers, large_images_answered=f"{happened.holders} of {_HOLDERS}")
    return [
        all_of("waited when they hung up", callers, min(happened.waited, callers)),
        at_most("executed all the same", 5, 100 * happened.executed / callers, "%"),
        at_most("until none of them waits", 5, happened.waiting_gone, "s"),
        at_most("until both gauges are 0, once the others were answered", 5, happened.all_gone, "s"),
    ]


async def _drill(server: Served, callers: int) -> _Happened:
    before = inside.executed(server)
    large = open_loop.post(odd_images.large_png(), media_type="image/png", headers=_PATIENT)
    holders = [asyncio.create_task(_ask(server, large)) for _ in range(_HOLDERS)]
    await asyncio.sleep(0.5)
    small = odd_images.thumbnail() + bytes(_PADDING)
    request = open_loop.post(small, headers=_PATIENT)
    rest = [asyncio.create_task(_ask(server, request)) for _ in range(callers // 2)]
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        vision = vision_pb2_grpc.VisionStub(channel)
        message = vision_pb2.ClassifyRequest(image=small)
        calls = [
            vision.Classify(message, timeout=120, metadata=(("x-priority", "batch"),))
            for _ in range(callers - len(rest))
        ]
        waited = await _all_waiting(server, callers)
        for call in calls:
            call.cancel()
        for caller in rest:
            caller.cancel()
        hung_up = time.monotonic()
        await asyncio.gather(*rest, *calls, return_exceptions=True)
    await asyncio.to_thread(inside.wait_until, lambda: inside.gauge(server, "fovea_waiting") <= _HOLDERS, 60)
    waiting_gone = time.monotonic() - hung_up
    answers = await asyncio.gather(*holders)
    all_gone = await asyncio.to_thread(inside.wait_until, lambda: _idle(server), 30)
    return _Happened(
        waited=waited,
        executed=inside.executed(server) - before - answers.count(200),
        holders=answers.count(200),
        waiting_gone=waiting_gone,
        all_gone=all_gone,
    )


async def _ask(server: Served, request: bytes) -> int:
    """The status of one request on a connection of its own, which a cancellation cuts."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.rest_port)
    try:
        writer.write(request)
        return int((await reader.readline())[9:12] or 0)
    finally:
        writer.transport.abort()


async def _all_waiting(server: Served, callers: int) -> int:
    """How many wait, once it is all of them or they have had time enough."""
    ends = time.monotonic() + _PATIENCE
    waiting = 0
    while waiting < callers and time.monotonic() < ends:
        waiting = max(waiting, int(await asyncio.to_thread(inside.gauge, server, "fovea_waiting")))
        await asyncio.sleep(0.05)
    return waiting


def _idle(server: Served) -> bool:
    return inside.gauge(server, "fovea_in_flight") == 0 == inside.gauge(server, "fovea_waiting")


DRILL = Drill(
    name="cancelled",
    promise="1,000 callers hang up while they wait: at most 5% of their images are executed, and within 5 s nothing "
    "is left of them.",
    run=run,
    options=("--max-waiting=2048",),
    seconds=180,
)

if __name__ == "__main__":
    sys.exit(main([DRILL]))
