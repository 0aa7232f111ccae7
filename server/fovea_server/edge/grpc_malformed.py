"""Messages that are no protobuf of ours are refused with a type; grpc.aio would call them UNKNOWN, a fault of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from fovea_server.edge import grpc_status, request_id
from fovea_server.edge.grpc_servicer import NAME
from fovea_server.errors import MalformedRequest

_Deserialize = Callable[[bytes], Any]


class RefuseMalformed(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Around the methods of our own service; `refused` is told the reason of each refusal."""

    def __init__(self, refused: Callable[[str], None]) -> None:
        self._refused = refused

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(details)
        if handler is None or not details.method.startswith(f"/{NAME}/"):
            return handler
        lenient = handler._replace(request_deserializer=_lenient(handler.request_deserializer))
        if handler.unary_unary:
            return lenient._replace(unary_unary=self._one(handler.unary_unary))
        return lenient._replace(stream_stream=self._several(handler.stream_stream))

    def _one(self, answer: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def unary(request: Any, context: grpc.aio.ServicerContext) -> Any:
            try:
                if isinstance(request, MalformedRequest):
                    await self._abort(request, context)
                return await answer(request, context)
            except grpc.aio.AbortError as aborted:
                grpc_status.forget_frames(aborted)
                del request
                raise

        return unary

    def _several(self, answer: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        async def stream(requests: AsyncIterator[Any], context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            try:
                try:
                    async for response in answer(_sound(requests), context):
                        yield response
                except MalformedRequest as error:
                    error.__traceback__ = None  # its frames hold it, and the last good request
                    await self._abort(error, context)
            except grpc.aio.AbortError as aborted:
                grpc_status.forget_frames(aborted)
                raise

        return stream

    async def _abort(self, error: MalformedRequest, context: grpc.aio.ServicerContext) -> None:
        self._refused(error.reason)
        metadata = dict(context.invocation_metadata() or ())
        await grpc_status.abort(context, error, request_id.accept(metadata.get("x-request-id")))


def _lenient(deserialize: _Deserialize) -> _Deserialize:
    """The message, or the error that it is."""

    def read(raw: bytes) -> Any:
        try:
            return deserialize(raw)
        except DecodeError:
            return MalformedRequest(f"the message of {len(raw):,} bytes is no protobuf of the kind that is asked for")

    return read


async def _sound(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The requests; raises the first that is malformed, which ends the stream."""
    async for request in requests:
        if isinstance(request, MalformedRequest):
            raise request
        yield request
