"""Errors as gRPC status: a google.rpc.Status with ErrorInfo, RequestInfo, and RetryInfo where a retry helps."""

from __future__ import annotations

import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from fovea_server.errors import FoveaError

_DETAILS_KEY = "grpc-status-details-bin"
_DOMAIN = "fovea"


async def abort(context: grpc.aio.ServicerContext, error: FoveaError, request_id: str) -> None:
    """End the call with the error; this always raises."""
    status = of_error(error, request_id)
    details = (_DETAILS_KEY, status.SerializeToString())
    await context.abort(error.rpc, status.message, (details, ("x-request-id", request_id)))


def forget_frames(aborted: grpc.aio.AbortError) -> None:
    """Call it in the outermost frames of a call, before raising on.

    grpc.aio keeps the error of an aborted call in a cycle with the call, and the error keeps all that the frames it
    passed through held: a refused image, and its message, until a garbage collection finds them.
    """
    aborted.__traceback__ = aborted.__context__ = None


def of_error(error: FoveaError, request_id: str) -> status_pb2.Status:
    """The status with its details; `code` is the error's gRPC code."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=_DOMAIN),
        error_details_pb2.RequestInfo(request_id=request_id),
    ]
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after * 1e9))
        details.append(retry)
    code, _name = error.rpc.value
    return status_pb2.Status(code=code, message=str(error), details=[_packed(detail) for detail in details])


def _packed(detail: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)
    return packed
