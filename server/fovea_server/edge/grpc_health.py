"""The standard health service (grpc.health.v1), which asks nobody for a key.

Not grpcio-health-checking's (1.81): there a watcher who leaves takes the others' news along, and each is written to
while all others, and the change of state itself, wait for it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

_Status = health_pb2.HealthCheckResponse
_MOST_WATCHES = 16  # over one connection: each is kept for as long as the caller likes


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """One state for all `services`; NOT_SERVING until `set` is called."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(services)
        self._is_ready = False
        self._changed = asyncio.Event()
        self._watches: Counter[str] = Counter()  # by connection

    def set(self, is_ready: bool) -> None:
        self._is_ready = is_ready
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        status = self._status(request.service)
        if status == _Status.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return _Status(status=status)

    async def Watch(self, request: Any, context: grpc.aio.ServicerContext) -> None:  # noqa: N802
        connection = context.peer()
        if self._watches[connection] >= _MOST_WATCHES:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"at most {_MOST_WATCHES} watches over one connection"
            )
        self._watches[connection] += 1
        try:
            await self._tell(request.service, context)
        finally:
            self._watches[connection] -= 1
            if not self._watches[connection]:
                del self._watches[connection]

    async def _tell(self, service: str, context: grpc.aio.ServicerContext) -> None:
        """The state now, and at every change that is there when the caller has read the one before."""
        told = None
        while True:
            changed, status = self._changed, self._status(service)
            if status != told:
                await context.write(_Status(status=status))
                told = status
            await changed.wait()

    def _status(self, service: str) -> Any:
        if service not in self._services:
            return _Status.SERVICE_UNKNOWN
        return _Status.SERVING if self._is_ready else _Status.NOT_SERVING
