"""Load for a peer or for ours: the generator of `fovea bench`, with each server's own requests.

Run alone: `python -m benchmarks.peers.load --server FastAPI --url http://127.0.0.1:8080 --concurrency 8`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import uvloop

from benchmarks import photographs
from benchmarks.errors import exit_code
from benchmarks.peers.catalogue import DOORS, Door
from fovea_client.load import Closed, rest
from fovea_client.load.measured import Load
from fovea_client.load.photographs import Photograph


def request(door: Door, image: Photograph, host: str) -> bytes:
    """The bytes of one request, head and body."""
    content_type, body = door.body(image)
    return rest.post(door.path, host, content_type, body)


async def measure(door: Door, url: str, images: tuple[Photograph, ...], concurrency: int, seconds: float) -> Load:
    """Keep `concurrency` requests under way for `seconds`."""
    address = rest.Address.of(url)
    requests = [request(door, image, str(address)) for image in images]
    # By the generator of `fovea bench`, so that no server is asked by a better or worse caller.
    return await rest.send(requests, address, Closed(concurrency), seconds, hint="is the server still running?")


def main() -> None:
    parser = argparse.ArgumentParser(description="Load for a peer's REST face; prints one line of JSON.")
    parser.add_argument("--server", choices=tuple(DOORS), required=True, help="which, and so how it is asked")
    parser.add_argument("--url", required=True, help="where it listens, such as http://127.0.0.1:8080")
    parser.add_argument("--concurrency", type=int, default=8, help="connections, one request each (default: 8)")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long (default: 6)")
    parser.add_argument("--images", type=Path, help="folder of photographs (default: ../shared/images if it exists)")
    arguments = parser.parse_args()
    images = photographs.read(arguments.images).images
    door = DOORS[arguments.server]
    print(uvloop.run(measure(door, arguments.url, images, arguments.concurrency, arguments.seconds)).to_json())


if __name__ == "__main__":
    sys.exit(exit_code(main))
