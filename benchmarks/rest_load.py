"""Load for the gateway's REST face: photographs to POST /v1/classify, in turn, over N kept-alive connections.

Run alone: `python -m benchmarks.rest_load --url http://127.0.0.1:8080 --concurrency 8`.

The requests are built beforehand and of an answer only the status line and Content-Length are read, so that the
generator takes little of a small machine from the server it measures (see README.md for how little).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

from benchmarks import photographs
from benchmarks.errors import LoadFailed, exit_code
from benchmarks.load import Load, summary
from benchmarks.photographs import Photograph

GENERATOR = "benchmarks.rest_load"
_PATH = "/v1/classify"
_GRACE = 30.0  # seconds an answer may still take when the time is over


class _Run:
    """One measurement: what to send next, and what came back."""

    def __init__(self, requests: Iterator[bytes], seconds: float, connections: int) -> None:
        self.requests = requests
        self.began = time.perf_counter()
        self.ends = self.began + seconds
        self.latencies: list[float] = []
        self.served = 0
        self.errors: Counter[str] = Counter()
        self.finished = asyncio.get_running_loop().create_future()
        self._open = connections

    def answered(self, sent: float, status: int) -> bool:
        """Note an answer; whether another request may follow it."""
        now = time.perf_counter()
        if status == 200:
            self.served += 1
            if now < self.ends:
                self.latencies.append(now - sent)
        else:
            self.errors[f"HTTP {status}"] += 1
        return now < self.ends

    def connection_done(self) -> None:
        self._open -= 1
        if self._open == 0 and not self.finished.done():
            self.finished.set_result(None)


class _Connection(asyncio.Protocol):
    """One caller: sends, waits for the whole answer, sends the next."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = bytearray()
        self._length = 0  # of the answer, head and body; 0 until the head is there
        self._status = 0
        self._done = False
        self._lost = "connection lost"  # what it is called when it ends before its time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._length and not self._read_head():
            return
        if len(self._received) < self._length:
            return
        self._received.clear()
        self._length = 0
        if self._run.answered(self._sent, self._status):
            self._send()
        else:
            self._done = True
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        # Not opened again: fewer connections than asked for is a result of its own, and the error says so.
        if not self._done:
            self._run.errors[self._lost] += 1
        self._run.connection_done()

    def _send(self) -> None:
        if self._transport.is_closing():
            return
        self._sent = time.perf_counter()
        self._transport.write(next(self._run.requests))

    def _read_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        try:
            self._status, body = read_head(bytes(self._received[:end]))
        except ValueError:
            self._lost = "unreadable answer"
            self._transport.close()
            return False
        self._length = end + 4 + body
        return True


def read_head(head: bytes) -> tuple[int, int]:
    """Status and body length of an HTTP/1.1 answer; ValueError where it has none or is not one."""
    lines = head.lower().split(b"\r\n")
    for line in lines[1:]:
        if line.startswith(b"content-length:"):
            return int(lines[0][9:12]), int(line[15:])
    raise ValueError("no Content-Length")


def request(image: Photograph, host: str) -> bytes:
    """The bytes of one request, head and body."""
    return post(_PATH, host, image.media_type, image.encoded)


def post(path: str, host: str, content_type: str, body: bytes) -> bytes:
    """Head and body of a POST; `host` with its port."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def measure(url: str, images: tuple[Photograph, ...], concurrency: int, seconds: float) -> Load:
    """Keep `concurrency` requests under way for `seconds`."""
    address = urlsplit(url)
    if address.scheme != "http" or not address.hostname:
        raise LoadFailed(f"{url} is not an http:// address", "give it as http://127.0.0.1:8080")
    host, port = address.hostname, address.port or 80
    requests = [request(image, f"{host}:{port}") for image in images]
    return await send(requests, (host, port), concurrency, seconds, hint="start the server with `fovea serve`")


async def send(
    requests: Sequence[bytes], address: tuple[str, int], concurrency: int, seconds: float, *, hint: str
) -> Load:
    """Send whole requests over `concurrency` connections, one after the other on each, over and over for `seconds`.

    Raises LoadFailed, with the `hint`, where nothing answers at `address`, (host, port).
    """
    host, port = address
    cpu = time.process_time()
    run = _Run(itertools.cycle(requests), seconds, concurrency)
    loop = asyncio.get_running_loop()
    try:
        for _ in range(concurrency):
            await loop.create_connection(lambda: _Connection(run), host, port)
    except OSError as error:
        raise LoadFailed(f"nothing answers on {host}:{port}", hint) from error
    done, _ = await asyncio.wait([run.finished], timeout=seconds + _GRACE)
    if not done:
        run.errors["no answer in time"] += 1
    # Where every connection was lost early, the rate is over the time that there were any.
    elapsed = min(time.perf_counter(), run.ends) - run.began
    cpu = time.process_time() - cpu
    return summary(GENERATOR, concurrency, elapsed, run.latencies, run.served, run.errors, cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description="Load for the gateway's REST face; prints one line of JSON.")
    parser.add_argument("--url", required=True, help="where the gateway listens, such as http://127.0.0.1:8080")
    parser.add_argument("--concurrency", type=int, default=8, help="connections, one request each (default: 8)")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long (default: 8)")
    parser.add_argument("--images", type=Path, help="folder of photographs (default: ../shared/images if it exists)")
    arguments = parser.parse_args()
    images = photographs.read(arguments.images).images
    print(uvloop.run(measure(arguments.url, images, arguments.concurrency, arguments.seconds)).to_json())


if __name__ == "__main__":
    sys.exit(exit_code(main))
