"""Odd and hostile files, alone and among good ones, on both faces: `python -m tests.drills.corpora`."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc
import grpc.aio
import httpx
import psutil
from tests.conftest import SHARED
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import Drill
from tests.drills.harness.figures import Figure, all_of, at_most, none_of
from tests.drills.harness.running import main
from tests.e2e import malformed
from tests.e2e.served import Served
from tests.hostile_images import bombs

from fovea_client.wire import vision_pb2, vision_pb2_grpc

_BESIDE = 7
_FAULTS = {"INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED"}


@dataclass(frozen=True)
class _Outcome:
    """`label` of an answer, -1 of a refusal; `told` is its status and reason."""

    label: int
    told: str
    is_typed: bool
    is_fault: bool
    seconds: float


_Ask = Callable[[bytes], Awaitable[_Outcome]]


def run(bench: Bench) -> list[Figure]:
    files = _files()[:: bench.scale.pick(full=1, short=40)]
    before = _processes(bench.server)
    outcomes, good = asyncio.run(_on_both_faces(bench.server, files, bench.images[:_BESIDE]))
    bench.note(files=len(files), told=dict(Counter(outcome.told for outcome in outcomes)))
    return [
        all_of("answers and refusals that are typed", len(outcomes), sum(each.is_typed for each in outcomes)),
        none_of("5xx", Counter(each.told for each in outcomes if each.is_fault)),
        all_of("good images beside them answered rightly", len(good), sum(good)),
        none_of("processes that died", Counter(map(str, before - _processes(bench.server)))),
        at_most("the slowest", 1000, 1000 * max(each.seconds for each in outcomes), "ms", timed=True),
    ]


def _files() -> list[bytes]:
    """Those beside the checkout; where there are none, images made by code."""
    paths = sorted(path for path in (SHARED / "corpora").rglob("*") if path.is_file() and path.name != "README.md")
    return [path.read_bytes() for path in paths] or [image[:20_000_001] for _, image, _ in bombs()]


def _processes(server: Served) -> set[tuple[int, str]]:
    triton = server.triton()
    return {
        (process.pid, process.name()) for process in (psutil.Process(server.process.pid), triton, *triton.children())
    }


async def _on_both_faces(
    server: Served, files: list[bytes], beside: tuple[bytes, ...]
) -> tuple[list[_Outcome], list[bool]]:
    """What each file got, alone and not; and whether each good one beside it got the label it gets alone."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        outcomes, good = await _alone_and_not(lambda image: _over_rest(client, image), files, beside)
    options = [("grpc.max_send_message_length", 64 << 20)]
    async with grpc.aio.insecure_channel(server.grpc, options) as channel:
        vision = vision_pb2_grpc.VisionStub(channel)
        more, more_good = await _alone_and_not(lambda image: _over_grpc(vision, image), files, beside)
    return outcomes + more, good + more_good


async def _alone_and_not(ask: _Ask, files: list[bytes], beside: tuple[bytes, ...]) -> tuple[list[_Outcome], list[bool]]:
    labels = [(await ask(image)).label for image in beside]
    outcomes, good = [], []
    for file in files:
        outcomes.append(await ask(file))
        odd, *others = await asyncio.gather(ask(file), *map(ask, beside))
        outcomes.append(odd)
        good += [other.label == label >= 0 for other, label in zip(others, labels, strict=True)]
    return outcomes, good


async def _over_rest(client: httpx.AsyncClient, image: bytes) -> _Outcome:
    began = time.monotonic()
    try:
        answer = await client.post("/v1/classify", content=image)
    except httpx.TransportError as error:
        return _Outcome(-1, type(error).__name__, False, True, time.monotonic() - began)
    seconds, said = time.monotonic() - began, answer.json()
    if answer.status_code == httpx.codes.OK:
        return _Outcome(said["predictions"][0]["index"], "200", True, False, seconds)
    is_typed = answer.headers["Content-Type"] == "application/problem+json"
    return _Outcome(-1, f"{answer.status_code} {said.get('reason')}", is_typed, answer.is_server_error, seconds)


async def _over_grpc(vision: vision_pb2_grpc.VisionStub, image: bytes) -> _Outcome:
    began = time.monotonic()
    try:
        answer = await vision.Classify(vision_pb2.ClassifyRequest(image=image), timeout=60)
    except grpc.aio.AioRpcError as error:
        code, reason = error.code().name, malformed.reason(error)
        return _Outcome(-1, f"{code} {reason}", bool(reason), code in _FAULTS, time.monotonic() - began)
    return _Outcome(answer.predictions[0].index, "OK", True, False, time.monotonic() - began)


DRILL = Drill(
    name="corpora",
    promise="Every file of the corpora, over REST and gRPC, alone and with 7 good ones beside it: typed, none of 5xx, "
    "no process dies, each within 1 s, and all good ones answered rightly.",
    run=run,
    twin="tests/e2e/test_corpora.py",
    seconds=1200,
)

if __name__ == "__main__":
    sys.exit(main([DRILL]))
