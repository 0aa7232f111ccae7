"""A balancer as small as one can be: HTTP/1.1, each request to the next replica whose /readyz says ready, no retries.

`python -m tests.drills.harness.balancer PORT REPLICA_PORT...`; all on loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_POLL = 0.25  # seconds between two looks at a replica's /readyz
_READYZ = b"GET /readyz HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n\r\n"
_NOBODY = b'{"reason":"NO_REPLICA"}'

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Replica:
    """One server; idle connections to it are used again."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.ready = False
        self._idle: list[Connection] = []

    async def watch(self) -> None:
        while True:
            self.ready = await self._is_ready()
            if not self.ready:
                self._close_idle()
            await asyncio.sleep(_POLL)

    async def exchange(self, request: bytes) -> bytes:
        """The whole answer to one whole request. Raises OSError or EOFError."""
        connection = self._idle.pop() if self._idle else await self._connect()
        reader, writer = connection
        writer.write(request)
        answer = await read_message(reader)
        if self.ready and b"connection: close" not in answer[: answer.find(b"\r\n\r\n")].lower():
            self._idle.append(connection)
        else:
            writer.close()
        return answer

    async def _is_ready(self) -> bool:
        with contextlib.suppress(OSError, EOFError, asyncio.TimeoutError):
            reader, writer = await self._connect()
            writer.write(_READYZ)
            answer = await asyncio.wait_for(read_message(reader), 2)
            writer.close()
            return answer.startswith(b"HTTP/1.1 200")
        return False

    async def _connect(self) -> Connection:
        return await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 26)

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """Head and body, by its Content-Length. Raises EOFError where there is no more."""
    head = await reader.readuntil(b"\r\n\r\n")
    at = head.lower().find(b"content-length:")
    length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return head + await reader.readexactly(length)


class Balancer:
    """Round robin over the replicas that are ready."""

    def __init__(self, replicas: list[Replica]) -> None:
        self._replicas = replicas

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                writer.write(await self._answer(await read_message(reader)))
                await writer.drain()
        writer.close()

    async def _answer(self, request: bytes) -> bytes:
        replica = self._next()
        if replica is None:
            return _refusal(503, _NOBODY)
        try:
            return await replica.exchange(request)
        except (OSError, EOFError) as error:
            return _refusal(502, b'{"reason":"%s"}' % type(error).__name__.encode())

    def _next(self) -> Replica | None:
        for replica in list(self._replicas):
            self._replicas.append(self._replicas.pop(0))
            if replica.ready:
                return replica
        return None


def _refusal(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d Refused\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


async def _main(port: int, replicas: list[int]) -> None:
    watched = [Replica(each) for each in replicas]
    tasks = [asyncio.create_task(replica.watch()) for replica in watched]
    server = await asyncio.start_server(Balancer(watched).serve, "127.0.0.1", port, limit=1 << 26, backlog=4096)
    async with server:
        await asyncio.gather(server.serve_forever(), *tasks)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), [int(each) for each in sys.argv[2:]]))
