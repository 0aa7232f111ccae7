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
from dataclasses import dataclass

from fovea_server.logs import get_logger

_log = get_logger("edge")
_AT_ONCE = 512  # handshakes of one process; for the next one, the one that has taken longest is cut off
_ITS_TIME = 1.0  # seconds that each has all the same, so that a storm of callers who mean it is not cut down
_PAUSE = 1.0  # seconds before the next connection is taken where there was no file for one


class TlsListener:
    """Over bound sockets; to who closes it, as an asyncio server. What `make` makes is connected once its handshake has
    succeeded."""

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
        self._shaking: dict[socket.socket, _Handshake] = {}  # the oldest first
        self._ending: set[asyncio.Task[None]] = set()  # cut off, and not done yet
        for each in sockets:
            each.listen(backlog)
            each.setblocking(False)
        self._accepting = {each: asyncio.create_task(self._accept(each)) for each in sockets}

    def close(self) -> None:
        """Take nothing more; connections whose handshakes are over go on."""
        for listening, accepting in self._accepting.items():
            accepting.add_done_callback(lambda _, listening=listening: listening.close())  # type: ignore[misc]
            accepting.cancel()
        for connection in self._shaking:
            _end(connection)

    async def wait_closed(self) -> None:
        await asyncio.gather(*self._accepting.values(), return_exceptions=True)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:
                _log.error("no connection can be taken", reason=str(error), next_try_in=_PAUSE)
                await asyncio.sleep(_PAUSE)
                continue
            await self._make_place()
            task = asyncio.create_task(self._shake(connection))
            self._shaking[connection] = _Handshake(task, loop.time())
            await asyncio.sleep(0)  # asyncio's own loop would take all that wait before it does anything else

    async def _make_place(self) -> None:
        if len(self._shaking) < _AT_ONCE:
            return
        oldest, handshake = next(iter(self._shaking.items()))
        left = _ITS_TIME - (asyncio.get_running_loop().time() - handshake.began)
        if left > 0:
            under_way = [each.task for each in self._shaking.values()]
            await asyncio.wait(under_way, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if len(self._shaking) >= _AT_ONCE and oldest in self._shaking:
            del self._shaking[oldest]
            self._ending.add(handshake.task)
            _end(oldest)

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


@dataclass(frozen=True)
class _Handshake:
    task: asyncio.Task[None]
    began: float  # on the event loop's clock


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
