"""Load for a gRPC face: photographs to fovea.v1.Vision/Classify, in turn, over connections that are kept.

The requests are serialized beforehand and of an answer only its status is read. Each connection has one call at a time,
as callers on different machines would.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from fovea_client.load.errors import LoadFailed
from fovea_client.load.http2 import Http2Connection, NoHttp2, head, message
from fovea_client.load.loops import Loop, loop_of
from fovea_client.load.measured import Load
from fovea_client.load.photographs import Photograph
from fovea_client.load.schedule import Way
from fovea_client.load.tls import unreachable
from fovea_client.wire import vision_pb2

GENERATOR = "fovea_client.load.rpc"
_METHOD = "/fovea.v1.Vision/Classify"
_TIMEOUT = 30.0  # seconds one answer may take
_CONNECT = 5.0


async def measure(
    address: str,
    images: Sequence[Photograph],
    way: Way,
    seconds: float,
    headers: Mapping[str, str] | None = None,
    stop: asyncio.Event | None = None,
    tls: ssl.SSLContext | None = None,
) -> Load:
    """Ask the server at `address` (host:port) about `images`, over and over, for `seconds` or until `stop`; in plain
    text, or over `tls`.

    Raises LoadFailed where nothing answers there.
    """
    running = asyncio.get_running_loop()
    host, port = _host_and_port(address)
    requests = [message(vision_pb2.ClassifyRequest(image=image.encoded).SerializeToString()) for image in images]
    if tls:
        tls.set_alpn_protocols(["h2"])  # RFC 9113 wants it said; gRPC servers hang up otherwise
    scheme = "https" if tls else "http"
    begin = head(scheme, address, _METHOD, _TIMEOUT, {name.lower(): value for name, value in (headers or {}).items()})

    async def connect() -> None:
        _, connection = await running.create_connection(lambda: Http2Connection(loop, begin), host, port, ssl=tls)
        try:
            await asyncio.wait_for(connection.greeted, _CONNECT)
        except asyncio.TimeoutError:
            connection.close()
            raise NoHttp2 from None

    loop: Loop = loop_of(way, itertools.cycle(requests), seconds, connect)
    cpu = time.process_time()
    try:
        await loop.run(stop, _TIMEOUT)
    except NoHttp2 as error:
        hint = f"name the gRPC port{', and --client-certificate if it asks for one' if tls else ''}"
        raise LoadFailed(f"what answers on {address} does not speak HTTP/2", hint) from error
    except OSError as error:
        raise unreachable(address, error, "start the server with `fovea serve`", encrypted=bool(tls)) from error
    return loop.result(GENERATOR, time.process_time() - cpu)


def _host_and_port(address: str) -> tuple[str, int]:
    """Raises LoadFailed."""
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise LoadFailed(f"{address} is not an address", "give it as grpc://127.0.0.1:8081")
    return host, port
