"""Callers who send one byte a second, of headers, bodies or messages: `python -m tests.drills.slow_connections`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time

from grpc import StatusCode
from tests.drills.harness import open_loop
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import Drill
from tests.drills.harness.figures import Figure, at_most
from tests.drills.harness.records import Records
from tests.drills.harness.running import main
from tests.edge.slow_calls import dawdle

from fovea_server.edge.grpc_servicer import NAME

_HEADERS_CUT, _BODIES_CUT = 10, 30  # seconds, as promised
_TOO_SLOW = str(StatusCode.INVALID_ARGUMENT.value[0])
_SLACK = 2.0  # seconds that a busy machine may add before a connection counts as not cut

_HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n"
_BODY = _HEAD + b"X-Request-Timeout: 300\r\nContent-Length: 100000\r\n\r\n\xff\xd8\xff"


def run(bench: Bench) -> list[Figure]:
    count = bench.scale.pick(full=200, short=40)
    alone = bench.scale.pick(full=40.0, short=6.0)
    beside = _BODIES_CUT + _SLACK + 3
    rate, port = 0.5 * bench.c, bench.server.rest_port
    before = open_loop.run(port, bench.requests(), rate, alone)
    with open_loop.load(port, bench.requests(), [(rate, beside)]) as load:
        headers, bodies, messages = asyncio.run(_slow(port, bench.server.grpc, count // 4))
        records = load.wait()
    bench.note(
        outcomes_of_the_others=records.outcomes(),
        headers_cut_after_s=_range(headers),
        bodies_cut_after_s=_range(bodies),
        messages_refused_after_s=_range(messages),
        p99_ms={"alone": before.percentile_ms(99), "beside them": records.percentile_ms(99)},
    )
    return [
        at_most("slowest headers, cut after", _HEADERS_CUT + _SLACK, max(headers), "s"),
        at_most("slowest bodies, cut after", _BODIES_CUT + _SLACK, max(bodies), "s"),
        at_most("slowest messages over gRPC, refused after", _BODIES_CUT + _SLACK, max(messages), "s"),
        at_most("p99 of the others, in parts of that before", 1.5, _ratio(records, before), timed=True),
        at_most("others that were not answered well", 0, len(records) - len(records.good), timed=True),
    ]


async def _slow(port: int, grpc: str, count: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds until the server cut each: those who dawdle in the headers, in the body, and in a message over gRPC."""
    headers = [_dawdle(port, _HEAD + b"X-Slow: ", _HEADERS_CUT + _SLACK) for _ in range(count)]
    bodies = [_dawdle(port, _BODY, _BODIES_CUT + _SLACK) for _ in range(count)]
    messages = [_refused(grpc) for _ in range(2 * count)]
    cut = await asyncio.gather(*headers, *bodies, *messages)
    return list(cut[:count]), list(cut[count : 2 * count]), list(cut[2 * count :])


async def _refused(grpc: str) -> float:
    """Infinite where it was not told why."""
    told, seconds = await dawdle(grpc, f"/{NAME}/Classify", b"a", every=1, patience=_BODIES_CUT + _SLACK)
    return seconds if told.get("grpc-status") == _TOO_SLOW else float("inf")


async def _dawdle(port: int, begin: bytes, patience: float) -> float:
    """Send `begin`, then a byte a second; the seconds until the server hung up, infinite where it did not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    writer.write(begin)
    cut = asyncio.create_task(_until_cut(reader))
    try:
        while not cut.done() and time.monotonic() - began < patience:
            with contextlib.suppress(ConnectionError):
                writer.write(b"a")
            await asyncio.wait({cut}, timeout=1)
        return time.monotonic() - began if cut.done() else float("inf")
    finally:
        cut.cancel()
        writer.transport.abort()


async def _until_cut(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(4096):
            pass


def _ratio(records: Records, before: Records) -> float:
    return records.percentile_ms(99) / before.percentile_ms(99)


def _range(seconds: list[float]) -> str:
    return f"{min(seconds):.1f} to {max(seconds):.1f}"


DRILL = Drill(
    name="slow_connections",
    promise="200 connections at one byte a second, half of them over gRPC: headers are cut within 10 s, bodies and "
    "messages within 30 s, and the others' p99 is at most 1.5 times what it was.",
    run=run,
    seconds=300,
)

if __name__ == "__main__":
    sys.exit(main([DRILL]))
