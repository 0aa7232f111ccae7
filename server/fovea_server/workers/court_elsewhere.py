"""The court that judges over the images inside Triton, and the gateway processes it judges over, across a channel."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import asdict
from typing import Any

from fovea_server.errors import NotReady
from fovea_server.logs import get_logger
from fovea_server.request.court import Court, Docket, Door, Present, Strikes
from fovea_server.request.quarantine import Kept
from fovea_server.workers.channel import Channel, ChannelClosed, Handler, Refused

_log = get_logger("workers")


class DoorElsewhere:
    """A follower, as the Door that the court knows. `channel` is set before the court hears of it."""

    channel: Channel

    async def learn(self, docket: Docket) -> None:
        await self.channel.ask("learn", docket=asdict(docket))

    async def emptied(self, seconds: float) -> bool:
        return bool(await self.channel.ask("emptied", seconds=seconds))

    async def present(self) -> Present:
        return Present(**await self.channel.ask("present"))

    async def keep(self, digest: str) -> Kept:
        return _kept(await self.channel.ask("keep", digest=digest))

    async def refuse(self, kept: Kept) -> None:
        await self.channel.ask("refuse", kept=asdict(kept))


class CourtElsewhere:
    """The Bench of a follower. `channel` is set before anything is asked."""

    channel: Channel

    def __init__(self) -> None:
        self._saying: set[asyncio.Task[None]] = set()

    async def take_turn(self, door: Door) -> bool:
        return bool(await self._asked("take_turn"))

    async def emptied(self, door: Door, seconds: float) -> bool:
        return bool(await self._asked("all_emptied", seconds=seconds))

    async def end_turn(self, door: Door, seconds: float) -> None:
        await self._asked("end_turn", seconds=seconds)

    def acquit(self, digest: str) -> None:
        self._soon(self._asked("acquit", digest=digest))

    def died(self, door: Door) -> None:
        self._soon(self._asked("died"))

    async def _asked(self, what: str, **arguments: Any) -> Any:
        try:
            return await self.channel.ask(what, **arguments)
        except (ChannelClosed, Refused) as error:
            raise NotReady(f"the server's first process cannot be asked: {error}", retry_after=1.0) from error

    def _soon(self, saying: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(_said(saying))
        self._saying.add(task)
        task.add_done_callback(self._saying.discard)


async def _said(saying: Coroutine[Any, Any, Any]) -> None:
    try:
        await saying
    except NotReady as error:
        _log.warning("not said", reason=str(error))


def asked_of_court(court: Court, door: Door) -> dict[str, Handler]:
    """What the follower behind `door` asks of it."""

    async def acquit(digest: str) -> None:
        court.acquit(digest)

    async def died() -> None:
        court.died(door)

    return {
        "take_turn": lambda: court.take_turn(door),
        "all_emptied": lambda seconds: court.emptied(door, seconds),
        "end_turn": lambda seconds: court.end_turn(door, seconds),
        "acquit": acquit,
        "died": died,
    }


def asked_of_door(door: Door) -> dict[str, Handler]:
    """What the court asks of it."""

    async def learn(docket: Mapping[str, Any]) -> None:
        strikes = {digest: Strikes(**said) for digest, said in docket["strikes"].items()}
        await door.learn(Docket(**{**docket, "strikes": strikes}))

    async def present() -> Any:
        return asdict(await door.present())

    async def keep(digest: str) -> Any:
        return asdict(await door.keep(digest))

    async def refuse(kept: Mapping[str, Any]) -> None:
        await door.refuse(_kept(kept))

    return {"learn": learn, "emptied": door.emptied, "present": present, "keep": keep, "refuse": refuse}


def _kept(said: Mapping[str, Any]) -> Kept:
    return Kept(**{**said, "models": tuple(said["models"])})
