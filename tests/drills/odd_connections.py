"""Tiny chunks, bodies far too large, idle connections by the thousand: `python -m tests.drills.odd_connections`."""

from __future__ import annotations

import contextlib
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator

import httpx
from tests.drills.harness import open_loop, watch
from tests.drills.harness.bench import Bench
from tests.drills.harness.drill import Drill
from tests.drills.harness.figures import Figure, all_of, at_most, none_of
from tests.drills.harness.running import main
from tests.e2e.served import Served

_MIB = 1 << 20
_TOO_LARGE = 65 * _MIB
_REFUSED = {400, 413}
_PIECE = bytes(_MIB)
_HEAD = "POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n"


def run(bench: Bench) -> list[Figure]:
    chunks = bench.scale.pick(full=1_000_000, short=100_000)
    times = bench.scale.pick(full=500, short=10)  # the watch sees a MiB come and go by itself
    idle = bench.scale.pick(full=10_000, short=1000)
    httpx.post(f"{bench.server.url}/v1/classify", content=bench.images[0]).raise_for_status()
    return [
        *_tiny_chunks(bench, chunks),
        *_too_large(bench, times, announced=True),
        *_too_large(bench, times, announced=False),
        *_idle(bench, idle),
    ]


def _tiny_chunks(bench: Bench, chunks: int) -> list[Figure]:
    body = [b"1\r\na\r\n" * 1000] * (chunks // 1000) + [b"0\r\n\r\n"]
    with bench.watch() as seen:
        began = time.monotonic()
        status = _send(bench.server, _HEAD + "Transfer-Encoding: chunked\r\n\r\n", body)
        bench.note(seconds_for_the_tiny_chunks=time.monotonic() - began)
    return [
        none_of("tiny chunks not refused with 400 or 413", _others([status])),
        at_most("memory for a request of tiny chunks", 10, seen.peak_growth_mb, "MB"),
    ]


def _too_large(bench: Bench, times: int, *, announced: bool) -> list[Figure]:
    how = "announced" if announced else "in chunks"
    pieces = _TOO_LARGE // _MIB
    if announced:
        head, body = f"Content-Length: {_TOO_LARGE}\r\n\r\n", [_PIECE] * pieces
    else:
        chunk = f"{_MIB:x}\r\n".encode() + _PIECE + b"\r\n"
        head, body = "Transfer-Encoding: chunked\r\n\r\n", [*[chunk] * pieces, b"0\r\n\r\n"]
    for _ in range(times // 5):  # until the allocator has what such requests need
        _send(bench.server, _HEAD + head, body)
    before = _settled(bench.server)
    statuses = [_send(bench.server, _HEAD + head, body) for _ in range(times)]
    growth = (_settled(bench.server) - before) / _MIB
    return [
        none_of(f"bodies of 65 MiB {how} not refused with 400 or 413", _others(statuses)),
        at_most(f"memory for 100 bodies of 65 MiB {how}", 1, 100 * growth / times, "MiB", timed=times < 100),
    ]


def _idle(bench: Bench, count: int) -> list[Figure]:
    """Memory, and whether others are still answered, while they are open; and that nothing is left of them."""
    at_first = watch.look(bench.server.process.pid)
    with _open(bench.server, count) as opened:
        during = watch.look(bench.server.process.pid)
        # From a socket of its own: what was kept alive would hide a server that accepts nobody any more.
        records = open_loop.run(bench.server.rest_port, [open_loop.post(bench.images[0])], 10, 3)
    time.sleep(1)
    after = watch.look(bench.server.process.pid)
    growth = (during.memory_mb - at_first.memory_mb) * 1e6 / _MIB
    bench.note(idle_connections=f"{opened:,} of {count:,} opened", others_beside_them=records.outcomes())
    return [
        all_of("idle connections that were opened", count, opened),
        at_most("memory for 100 idle connections", 1, 100 * growth / max(opened, 1), "MiB"),
        none_of("others not answered beside them", _not_good(records.outcomes())),
        at_most("descriptors left of them", 8, after.descriptors - at_first.descriptors),
    ]


@contextlib.contextmanager
def _open(server: Served, count: int) -> Iterator[int]:
    """That many connections that say nothing; how many the server took."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with contextlib.ExitStack() as stack:
            opened = 0
            for _ in range(count):
                with contextlib.suppress(OSError):
                    stack.enter_context(socket.create_connection(("127.0.0.1", server.rest_port), timeout=5))
                    opened += 1
            time.sleep(1)
            yield opened
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _send(server: Served, head: str, body: Iterable[bytes]) -> int:
    """The status of one request on a connection of its own; 0 where there was none. Stops sending once it is there."""
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=60) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(head.encode())
            for piece in body:
                connection.sendall(piece)
        with contextlib.suppress(ConnectionError, TimeoutError, ValueError):
            return int(connection.recv(64)[9:12])
    return 0


def _settled(server: Served) -> float:
    """Bytes that the gateway holds, a moment after its last request."""
    time.sleep(1)
    return watch.look(server.process.pid).memory_mb * 1e6


def _others(statuses: list[int]) -> dict[str, int]:
    return Counter(str(status) for status in statuses if status not in _REFUSED)


def _not_good(outcomes: dict[str, int]) -> dict[str, int]:
    return {outcome: count for outcome, count in outcomes.items() if not outcome.startswith("200")}


DRILL = Drill(
    name="odd_connections",
    promise="A million tiny chunks, bodies of 65 MiB, 10,000 idle connections: refused with 413 or 400, and memory "
    "grows by at most 1 MiB for 100 of them.",
    run=run,
    seconds=300,
)

if __name__ == "__main__":
    sys.exit(main([DRILL]))
