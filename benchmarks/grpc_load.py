"""Load for the gateway's gRPC face: photographs to fovea.v1.Vision/Classify, in turn, from N callers.

Run alone: `python -m benchmarks.grpc_load --address 127.0.0.1:8081 --concurrency 8`.

Requests are serialized beforehand and answers are left as bytes. Each caller has a connection of its own, as callers
on different machines would.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio
import uvloop

from benchmarks import photographs
from benchmarks.errors import LoadFailed, exit_code
from benchmarks.load import Load, summary
from benchmarks.photographs import Photograph
from fovea_client.wire import vision_pb2

GENERATOR = "benchmarks.grpc_load"
_METHOD = "/fovea.v1.Vision/Classify"
_TIMEOUT = 30.0  # seconds one answer may take
_CONNECT = 5.0
_OPTIONS = (
    # A connection of its own for each channel; by default they share one.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)


class _Run:
    def __init__(self, requests: Iterator[bytes], seconds: float) -> None:
        self.requests = requests
        self.began = time.perf_counter()
        self.ends = self.began + seconds
        self.latencies: list[float] = []
        self.served = 0
        self.errors: Counter[str] = Counter()


async def measure(address: str, images: tuple[Photograph, ...], concurrency: int, seconds: float) -> Load:
    """Keep `concurrency` requests under way for `seconds`."""
    requests = itertools.cycle(
        [vision_pb2.ClassifyRequest(image=image.encoded).SerializeToString() for image in images]
    )
    channels = [grpc.aio.insecure_channel(address, options=_OPTIONS) for _ in range(concurrency)]
    try:
        await _connect(address, channels)
        cpu = time.process_time()
        run = _Run(requests, seconds)
        await asyncio.gather(*(_ask_in_turn(channel, run) for channel in channels))
        cpu = time.process_time() - cpu
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))
    return summary(GENERATOR, concurrency, seconds, run.latencies, run.served, run.errors, cpu)


async def _connect(address: str, channels: list[grpc.aio.Channel]) -> None:
    try:
        await asyncio.wait_for(asyncio.gather(*(channel.channel_ready() for channel in channels)), _CONNECT)
    except asyncio.TimeoutError as error:
        raise LoadFailed(f"nothing answers on {address}", "start the server with `fovea serve`") from error


async def _ask_in_turn(channel: grpc.aio.Channel, run: _Run) -> None:
    classify = channel.unary_unary(_METHOD)  # no serializers: bytes in, bytes out
    while (sent := time.perf_counter()) < run.ends:
        try:
            await classify(next(run.requests), timeout=_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            run.errors[error.code().name] += 1
            continue
        run.served += 1
        now = time.perf_counter()
        if now < run.ends:
            run.latencies.append(now - sent)


def main() -> None:
    parser = argparse.ArgumentParser(description="Load for the gateway's gRPC face; prints one line of JSON.")
    parser.add_argument("--address", required=True, help="where the gateway listens, such as 127.0.0.1:8081")
    parser.add_argument("--concurrency", type=int, default=8, help="callers, one request each (default: 8)")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long (default: 8)")
    parser.add_argument("--images", type=Path, help="folder of photographs (default: ../shared/images if it exists)")
    arguments = parser.parse_args()
    images = photographs.read(arguments.images).images
    print(uvloop.run(measure(arguments.address, images, arguments.concurrency, arguments.seconds)).to_json())


if __name__ == "__main__":
    sys.exit(exit_code(main))
