"""End everything, whatever goes wrong on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fovea_server.logs import get_logger

_log = get_logger("ending")


async def each_in_turn(*steps: Callable[[], Awaitable[None]]) -> None:
    """Every step, whatever those before it did. The first error is raised once all are done, others are logged."""
    first: BaseException | None = None
    for step in steps:
        try:
            await step()
        except BaseException as error:
            if first is None:
                first = error
            else:
                _log.error("stopping did not go well", exc_info=error)
    if first is not None:
        raise first
