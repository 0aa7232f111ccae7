"""Ask for a key before anything of a gRPC call is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from fovea_server.access.guard import Guard, current
from fovea_server.domain import Caller
from fovea_server.edge import grpc_status, request_id, scopes
from fovea_server.errors import FoveaError, PermissionDenied, Unauthenticated
from fovea_server.metrics import Metrics


class GuardedCalls(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Lets a call through to its handler only with a key that is good for its service."""

    def __init__(self, guard: Guard, metrics: Metrics) -> None:
        self._guard = guard
        self._metrics = metrics

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        service = details.method.rpartition("/")[0].removeprefix("/")
        if service in scopes.OPEN_SERVICES:
            return await continuation(details)
        sent = dict(details.invocation_metadata or ())
        identity = request_id.accept(sent.get("x-request-id"))

        def ask() -> Caller:
            keys = sent.get("authorization"), sent.get("x-api-key")
            try:
                return self._guard.caller_of(*keys, scopes.of_service(service))
            except FoveaError as error:
                self._metrics.refused(error.reason)
                raise

        try:
            # One context holds for the interceptors and the handler of a call (grpc.aio.ServerInterceptor).
            current.set(ask())
        except FoveaError as error:
            return _refusing(error, identity)
        handler = await continuation(details)
        return _asking_again(handler, ask, identity) if handler and handler.stream_stream else handler


def _refusing(error: FoveaError, identity: str) -> Any:
    """A handler that ends the call with the error; as a stream of both ways it serves for every kind of call."""

    async def refuse(requests: Any, context: grpc.aio.ServicerContext) -> None:
        await grpc_status.abort(context, error, identity)

    return grpc.stream_stream_rpc_method_handler(refuse)


def _asking_again(handler: Any, ask: Callable[[], Caller], identity: str) -> Any:
    """For a stream, which may last an hour: its key must be good whenever something is sent."""

    async def sent_by_who_may(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            ask()
            yield request

    async def stream(requests: AsyncIterator[Any], context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        try:
            try:
                async for response in handler.stream_stream(sent_by_who_may(requests), context):
                    yield response
            except (Unauthenticated, PermissionDenied) as error:
                await grpc_status.abort(context, error, identity)
        except grpc.aio.AbortError as aborted:
            grpc_status.forget_frames(aborted)
            raise

    return handler._replace(stream_stream=stream)
