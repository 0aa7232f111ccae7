"""Ask for a key before anything of a gRPC call is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from fovea_server.access.guard import Guard, current
from fovea_server.edge import grpc_status, request_id, scopes
from fovea_server.errors import FoveaError
from fovea_server.metrics import Metrics


class GuardedCalls(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Lets a call through to its handler only with a key that is good for its service."""

    def __init__(self, guard: Guard, metrics: Metrics) -> None:
        self._guard = guard
        self._metrics = metrics

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        service = details.method.split("/")[1]
        if service in scopes.OPEN_SERVICES:
            return await continuation(details)
        sent = dict(details.invocation_metadata or ())
        try:
            caller = self._guard.caller_of(sent.get("authorization"), sent.get("x-api-key"), scopes.of_service(service))
        except FoveaError as error:
            self._metrics.refused(error.reason)
            return _refusing(error, request_id.accept(sent.get("x-request-id")))
        # One context holds for the interceptors and the handler of a call (grpc.aio.ServerInterceptor).
        current.set(caller)
        return await continuation(details)


def _refusing(error: FoveaError, identity: str) -> Any:
    """A handler that ends the call with the error; as a stream of both ways it serves for every kind of call."""

    async def refuse(requests: Any, context: grpc.aio.ServicerContext) -> None:
        await grpc_status.abort(context, error, identity)

    return grpc.stream_stream_rpc_method_handler(refuse)
