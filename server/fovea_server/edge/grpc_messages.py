"""Read what callers send over gRPC: in time, and as protobufs of ours, or it is refused with a type.

grpc.aio reads the message of a unary call itself, waits for it as long as the connection lasts, and calls one that is
no protobuf UNKNOWN, a fault of ours. On the wire a unary call is a stream of one message (gRPC over HTTP/2), so it is
taken as that, and its message read here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from fovea_server.edge import grpc_status, request_id
from fovea_server.edge.within import timeout
from fovea_server.errors import FoveaError, MalformedRequest, ReceiveTimeout

_Deserialize = Callable[[bytes], Any]

_GONE = 0.05  # seconds in which grpc.aio cancels a call that ended in another way than by its caller's last word


class SoundMessages(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """A unary call's message has `seconds` to come; in a stream nobody can tell one that comes slowly from none.
    `refused` is told the reason of each refusal."""

    def __init__(self, seconds: float, refused: Callable[[str], None]) -> None:
        self._seconds = seconds
        self._refused = refused

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(details)
        if handler is None:
            return None
        lenient = handler._replace(request_deserializer=_lenient(handler.request_deserializer))
        if handler.unary_unary:
            one = self._one(handler.unary_unary)
            return lenient._replace(request_streaming=True, unary_unary=None, stream_unary=one)
        if handler.unary_stream:
            one = self._one(handler.unary_stream)
            return lenient._replace(request_streaming=True, unary_stream=None, stream_stream=one)
        return lenient._replace(stream_stream=self._several(handler.stream_stream))

    def _one(self, answer: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def unary(_: AsyncIterator[Any], context: grpc.aio.ServicerContext) -> Any:
            request = None
            try:
                request = await self._message(context)
                if isinstance(request, FoveaError):
                    await self._abort(request, context)
                return await answer(request, context)
            except grpc.aio.AbortError as aborted:
                grpc_status.forget_frames(aborted)
                del request
                raise

        return unary

    async def _message(self, context: grpc.aio.ServicerContext) -> Any:
        """The call's message, or the error that it is: raised, that would hold the call by the frames it passed."""
        try:
            async with timeout(self._seconds):
                message = await context.read()
                if message is not grpc.aio.EOF:
                    return message
                await asyncio.sleep(_GONE)
        except (TimeoutError, asyncio.TimeoutError):
            return ReceiveTimeout(f"the message was not complete after {self._seconds:g} s")
        return MalformedRequest("the call ended without a message")

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

    async def _abort(self, error: FoveaError, context: grpc.aio.ServicerContext) -> None:
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
