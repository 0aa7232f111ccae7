"""Callers over gRPC who begin a message and send the rest a byte at a time, or never."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time

import hpack

from fovea_client.load import http2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, SETTINGS = 0, 1, 4
_END_HEADERS = 0x4


async def dawdle(
    address: str, path: str, drip: bytes, every: float, patience: float, deadline: float = 300.0
) -> tuple[dict[str, str], float]:
    """Begin a message of 100,000 bytes at `address` ("host:port"), then send `drip` every so many seconds.

    The headers with which the call was ended, and after how many seconds; no headers where the connection was ended,
    and infinite seconds where nothing was for as long as the patience.
    """
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = http2.head("http", address, path, deadline, {})
    begin = http2.message(bytes(100_000))[:100]
    writer.write(PREFACE + frame(SETTINGS) + frame(_HEADERS, _END_HEADERS, 1, head) + frame(_DATA, 0, 1, begin))
    began, ended = time.monotonic(), asyncio.create_task(_trailers(reader))
    try:
        while not ended.done() and time.monotonic() - began < patience:
            if drip:
                writer.write(frame(_DATA, 0, 1, drip))
            await asyncio.wait({ended}, timeout=every)
        return (ended.result(), time.monotonic() - began) if ended.done() else ({}, float("inf"))
    finally:
        ended.cancel()
        writer.transport.abort()


async def _trailers(reader: asyncio.StreamReader) -> dict[str, str]:
    decoder = hpack.Decoder()
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            size, kind = struct.unpack(">IB", b"\0" + await reader.readexactly(4))
            payload = (await reader.readexactly(5 + size))[5:]
            if kind == _HEADERS:
                fields: dict[str, str] = dict(decoder.decode(payload))
                if "grpc-status" in fields:
                    return fields
    return {}


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """RFC 9113, 4.1."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload
