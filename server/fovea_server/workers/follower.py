"""A gateway process that follows the one which owns Triton: it serves on the same ports, and does as it is told.

Started as `python -m fovea_server.workers.follower SOCKET WORKER PARENT`, with the settings, pickled, on stdin: the
open socket on which it is told, its number from 1, and whose child it is. It ends when the other end of the socket
does.
"""

from __future__ import annotations

import asyncio
import pickle
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

from fovea_pipelines.child_process import end_with
from fovea_server import logs
from fovea_server.entrance import Entrance
from fovea_server.gateway import Gateway
from fovea_server.metrics import Metrics
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.readiness import Readiness
from fovea_server.settings import Settings
from fovea_server.triton.client import TritonClient
from fovea_server.workers.channel import Channel, ChannelClosed, Handler, Refused
from fovea_server.workers.court_elsewhere import CourtElsewhere, asked_of_door
from fovea_server.workers.state import State


def main() -> None:
    file, worker, parent = map(int, sys.argv[1:])
    end_with(parent)
    settings: Settings = pickle.load(sys.stdin.buffer)  # noqa: S301  (from the process that started us)
    logs.configure(settings.log_level, worker=worker)
    import uvloop

    uvloop.run(_follow(socket.socket(fileno=file), settings, worker))


async def _follow(end: socket.socket, settings: Settings, worker: int) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: None)  # whoever stops the server tells its first process
    follower = Follower(settings, worker)
    await follower.run(end)


class Follower:
    """Its readiness and its catalogue are copies; it loads no model and starts no Triton."""

    def __init__(self, settings: Settings, worker: int) -> None:
        self._readiness = Readiness()
        self._catalogue = Catalogue([])
        self._metrics = Metrics(worker)
        self._readiness.on_change(self._metrics.triton_up)
        self._client = TritonClient(settings.triton, "", settings.admission.most_in_flight, self._readiness.again_in)
        self._court = CourtElsewhere()
        self._gateway = Gateway(
            settings,
            Entrance.of(settings),
            self._readiness,
            self._catalogue,
            self._client,
            self._metrics,
            self._exposition,
            self._court,
        )
        self._opening: asyncio.Task[None] | None = None

    async def run(self, end: socket.socket) -> None:
        """Serve until the other end of the socket is closed."""
        handlers: dict[str, Handler] = {
            "follow": self._follow,
            "cut_off": self._cut_off,
            "metrics": self._collected,
            "close": self._close,
            **asked_of_door(self._gateway.suspects),
        }
        self._channel = self._court.channel = await Channel.open(end, handlers)
        try:
            await self._channel.closed()
        finally:
            await self._gateway.end()
            await self._client.close()

    async def _follow(self, state: Mapping[str, Any]) -> None:
        """Be as the state says; done once the ports are open and nobody here uses a model that has left."""
        said = State.from_json(state)
        left = self._catalogue.follow(said.models, said.in_service)
        self._readiness.follow(said.standing)
        if self._opening is None:
            self._opening = asyncio.create_task(self._gateway.open())
        await asyncio.shield(self._opening)
        await self._catalogue.until_returned(left)

    async def _cut_off(self, models: list[str] | None, reason: str) -> None:
        """End the calls whose answers will not come."""
        self._client.pulse.cut_off(models, reason)

    async def _close(self, grace: float) -> None:
        """Also where the ports are only being opened: they must not open after they were closed."""
        if self._opening is not None:
            await asyncio.shield(self._opening)
        await self._gateway.close(grace)

    async def _collected(self) -> list[Any]:
        return [family.to_json() for family in self._metrics.collected()]

    async def _exposition(self) -> bytes:
        """Of all processes, which only the first knows; where it does not say, of this one."""
        try:
            said: str = await self._channel.ask("exposition")
        except (ChannelClosed, Refused):
            return self._metrics.exposition()
        return said.encode()


if __name__ == "__main__":
    main()
