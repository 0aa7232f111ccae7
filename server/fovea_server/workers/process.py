"""One follower as the server's first process sees it: started, told, asked what it counted, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Collection, Mapping

from fovea_server.exposition import Family
from fovea_server.request.court import Court
from fovea_server.settings import Settings
from fovea_server.workers.channel import Channel, ChannelClosed, Handler, Refused
from fovea_server.workers.court_elsewhere import DoorElsewhere, asked_of_court
from fovea_server.workers.state import State

_FOLLOWER = "fovea_server.workers.follower"  # by name: to import it is to import all that a gateway is made of
_EXIT_SECONDS = 5.0
Gone = (ChannelClosed, Refused, TimeoutError, asyncio.TimeoutError)  # it died, or cannot, or does not answer


class FollowerProcess:
    """Make one with `start`. `counted` is what it had counted when it was last asked."""

    def __init__(self, process: Process, channel: Channel, door: DoorElsewhere) -> None:
        self._process = process
        self._channel = channel
        self.door = door
        self.counted: list[Family] = []

    @classmethod
    async def start(
        cls, settings: Settings, worker: int, handlers: Mapping[str, Handler], court: Court
    ) -> FollowerProcess:
        """It serves nothing until it was told the first time."""
        ours, theirs = socket.socketpair()
        quotas = settings.admission.quotas
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", _FOLLOWER),
                *(str(theirs.fileno()), str(worker), str(os.getpid())),
                stdin=PIPE,
                pass_fds=(theirs.fileno(), *([] if quotas is None else [quotas])),
                env={**os.environ, "PYTHONSAFEPATH": "1"},  # or `-m` would look in the current folder first
                start_new_session=True,  # Ctrl-C at the terminal is for the first process, which drains
            )
        assert process.stdin is not None
        process.stdin.write(pickle.dumps(settings))
        process.stdin.close()
        door = DoorElsewhere()
        door.channel = await Channel.open(ours, {**handlers, **asked_of_court(court, door)})
        return cls(process, door.channel, door)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def tell(self, state: State) -> None:
        """Returns once it is as the state says. Raises one of Gone."""
        await self._channel.ask("follow", state=state.to_json())

    async def cut_off(self, models: Collection[str] | None, reason: str) -> None:
        """End its calls that need one of these models, or all. Raises one of Gone."""
        await self._channel.ask("cut_off", models=None if models is None else list(models), reason=reason)

    async def count(self, seconds: float) -> list[Family]:
        """What it has counted. Raises one of Gone."""
        said = await asyncio.wait_for(self._channel.ask("metrics"), seconds)
        self.counted = [Family.from_json(family) for family in said]
        return self.counted

    async def close(self, grace: float) -> None:
        """Take nothing more, finish what was accepted. Raises one of Gone."""
        await asyncio.wait_for(self._channel.ask("close", grace=grace), grace + _EXIT_SECONDS)

    async def wait(self) -> int:
        """Its exit code, once it has ended (negative: the signal that ended it)."""
        return await self._process.wait()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """Let it end, or end it."""
        self._channel.close()
        try:
            await asyncio.wait_for(self._process.wait(), _EXIT_SECONDS)
        except (TimeoutError, asyncio.TimeoutError):
            self.kill()
            await self._process.wait()
