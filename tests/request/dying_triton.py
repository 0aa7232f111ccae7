"""A Triton that dies of certain images."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from fovea_server.domain import Deadline, Inference, Model
from fovea_server.errors import DeadlineExceeded, Undecodable
from fovea_server.triton.client import WorkerDied

GOOD = [f"good {number:2}".encode() for number in range(20)]
KILLER = b"a killer"
DAMAGED = b"a damaged one"
SLOW = b"one that is never done"


_WORK = 0.06  # seconds for a good image: several times what a killer takes to kill, also on a busy machine


class Triton:
    """Answers after a moment; dies, with all that is inside, of what begins like a killer, or when it is told to."""

    def __init__(self) -> None:
        self.inside: list[bytes] = []
        self.most_beside_a_killer = 0
        self.death = asyncio.Event()
        self.deaths = 0
        self.is_gone: Callable[[], bool] = lambda: False

    async def infer(
        self, models: Sequence[Model], image: bytes, request_id: str, deadline: Deadline
    ) -> list[Inference]:
        if self.is_gone():
            raise WorkerDied("gone already", retry_after=1)
        self.inside.append(image)
        death = self.death
        try:
            if image == DAMAGED:
                raise Undecodable("it breaks off")
            if image == SLOW:
                await asyncio.sleep(deadline.remaining())
                raise DeadlineExceeded("too late")
            if image.startswith(KILLER):
                self.most_beside_a_killer = len(set(self.inside)) - 1
                await asyncio.sleep(0.01)
                self.die()
            await asyncio.wait_for(death.wait(), min(_WORK, deadline.remaining()))
        except asyncio.TimeoutError:
            if deadline.remaining() <= 0:
                raise DeadlineExceeded("too late") from None
            return []
        finally:
            self.inside.remove(image)
        raise WorkerDied("gone", retry_after=1)

    def die(self) -> None:
        self.deaths += 1
        self.death.set()
        self.death = asyncio.Event()
