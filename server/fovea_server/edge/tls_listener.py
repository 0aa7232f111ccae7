"""Take in TCP connections and their TLS handshakes, so many at once and no more.

asyncio shows a server its TLS connections once their handshakes are over: who opens many and says nothing takes an open
file for each, and no limit knows of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence

from fovea_server.logs import get_logger

_log = get_logger("edge")
_AT_ONCE = 512  # handshakes of one process; for the next one, the one that has taken longest is cut off
_PAUSE = 1.0  # seconds before the next connection is taken where there was no file for one


class TlsListener:
    """Over bound sockets; to who closes it, as an asyncio server. `make` is called for each handshake that succeeds."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        backlog: int,
        context: ssl.SSLContext,
        seconds: float,
        make: Callable[[], asyncio.Protocol],
    ) -> None:
        self.sockets = sockets
        self._context = context
        self._seconds = seconds
        self._make = make
        self._shaking: dict[socket.socket, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()  # cut off, and not done yet
        for each in sockets:
            each.listen(backlog)
            each.setblocking(False)
        self._accepting = [asyncio.create_task(self._accept(each)) for each in sockets]

    def close(self) -> None:
        """Take nothing more; connections whose handshakes are over go on."""
        for accepting in self._accepting:
            accepting.cancel()
        for connection in self._shaking:
            _end(connection)

    async def wait_closed(self) -> None:
        for each in self.sockets:
            each.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:
                _log.error("no connection can be taken", reason=str(error), next_try_in=_PAUSE)
                await asyncio.sleep(_PAUSE)
                continue
            if len(self._shaking) >= _AT_ONCE:
                oldest = next(iter(self._shaking))
                self._ending.add(self._shaking.pop(oldest))
                _end(oldest)
            self._shaking[connection] = asyncio.create_task(self._shake(connection))

    async def _shake(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make, connection, ssl=self._context, ssl_handshake_timeout=self._seconds
            )
        except OSError:  # of which ssl.SSLError is one, and every time-out: the other side has been told by TLS
            connection.close()
        finally:
            self._shaking.pop(connection, None)
            self._ending.discard(asyncio.current_task())


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
