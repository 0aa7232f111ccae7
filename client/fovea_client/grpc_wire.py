"""gRPC on the wire: what is sent, and what a status means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from fovea_client import grpc_answers, model_names
from fovea_client.answers import Classification
from fovea_client.errors import BadImage, DeadlineExceeded, FoveaClientError, ServerFailed, Unreachable, from_reason
from fovea_client.feedback import Feedback, Status
from fovea_client.images import Image
from fovea_client.request_ids import made_or_checked
from fovea_client.wire import vision_pb2

# What a stream takes: an image, or one with an id of the caller's.
Item = Image | tuple[str, Image]
Outcome = Classification | FoveaClientError

_MESSAGE_BYTES = 32 * 1024 * 1024
_BESIDE_THE_IMAGE = 64 * 1024  # bytes of a message, for the names of models and of the request
_LOOPBACK = ("127.0.0.1:", "localhost:", "[::1]:")


def target(address: str) -> str:
    """HOST:PORT of itself, of grpc://HOST:PORT or of grpcs://HOST:PORT.

    Raises ValueError where the port is missing, or it is no address.
    """
    plain = address.removeprefix("grpc://").removeprefix("grpcs://").rstrip("/")
    if "/" in plain or not plain.rpartition(":")[2].isdigit() or not plain.rpartition(":")[0]:
        raise ValueError(f"{address!r} is not an address like 127.0.0.1:8081")
    return plain


def options(target: str) -> list[tuple[str, int]]:
    """Channel options. The first reconnects come fast, or a retry would only be told of the last failure again."""
    return [
        ("grpc.max_send_message_length", _MESSAGE_BYTES),
        ("grpc.max_receive_message_length", _MESSAGE_BYTES),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
        # A proxy in the environment is for the world outside, not for a server on this machine.
        ("grpc.enable_http_proxy", 0 if target.startswith(_LOOPBACK) else 1),
    ]


def classify(
    image: bytes, model: str | None, top_k: int, embedding: bool, request_id: str | None
) -> vision_pb2.ClassifyRequest:
    """Raises BadImage where no message holds the image, here and below."""
    request_id = made_or_checked(request_id)
    _check_size(image, request_id)
    return vision_pb2.ClassifyRequest(
        image=image, model=model or "", top_k=top_k, embedding=embedding, request_id=request_id
    )


def analyze(
    image: bytes, models: Iterable[str], top_k: int, embedding: bool, request_id: str | None
) -> vision_pb2.AnalyzeRequest:
    request_id = made_or_checked(request_id)
    _check_size(image, request_id)
    return vision_pb2.AnalyzeRequest(
        image=image,
        models=model_names.checked(models),
        top_k=top_k,
        embedding=embedding,
        request_id=request_id,
    )


def _check_size(image: bytes, request_id: str) -> None:
    """gRPC itself would refuse the message, and end the stream that it is in."""
    most = _MESSAGE_BYTES - _BESIDE_THE_IMAGE
    if len(image) > most:
        raise BadImage(
            f"the image has {len(image):,} bytes, and a gRPC message holds at most {most:,}; send a smaller file",
            reason="TOO_MANY_BYTES",
            request_id=request_id,
        )


def feedback(given: Iterable[Feedback]) -> vision_pb2.GiveFeedbackRequest:
    return vision_pb2.GiveFeedbackRequest(feedback=map(_feedback, given))


def feedback_outcomes(said: vision_pb2.GiveFeedbackResponse) -> list[Status | FoveaClientError]:
    """What became of each, in order."""
    return [_feedback_outcome(one) for one in said.outcomes]


def _feedback(given: Feedback) -> vision_pb2.Feedback:
    if isinstance(given.label, int):
        return vision_pb2.Feedback(id=given.id, index=given.label, model=given.model or "")
    return vision_pb2.Feedback(id=given.id, label=given.label, model=given.model or "")


def _feedback_outcome(said: vision_pb2.FeedbackOutcome) -> Status | FoveaClientError:
    if said.status == vision_pb2.FeedbackOutcome.REFUSED:
        return _named(said.error, None) or ServerFailed(said.error.message or "the feedback was refused")
    return "matched" if said.status == vision_pb2.FeedbackOutcome.MATCHED else "pending"


def outcome(said: vision_pb2.ClassifyStreamResponse) -> Outcome:
    """What a stream says of one image."""
    if said.WhichOneof("outcome") == "answer":
        return grpc_answers.classification(said.answer)
    return _named(said.error, said.id) or ServerFailed(
        said.error.message or "the stream gave neither an answer nor an error", request_id=said.id
    )


def failure(error: Any, target: str, request_id: str | None = None) -> FoveaClientError:
    """What a call's status means: what the server named if it named it, else what gRPC itself says."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            named = _named(status_pb2.Status.FromString(value), request_id)
            if named is not None:
                return named
    return _unnamed(error.code(), error.details() or "", target, request_id)


def is_lost(error: Any) -> bool:
    """Whether grpc.aio put its own failure to send in the place of what the server said (grpc/grpc issue 36066)."""
    return error.code() is grpc.StatusCode.INTERNAL and error.details() == "Internal error from Core"


def _named(status: status_pb2.Status, request_id: str | None) -> FoveaClientError | None:
    info, asked, again = error_details_pb2.ErrorInfo(), error_details_pb2.RequestInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        for message in (info, asked, again):
            detail.Unpack(message)  # does nothing where the detail is of another kind
    if info.domain != "fovea":
        return None
    return from_reason(
        info.reason,
        status.message,
        request_id=asked.request_id or request_id,
        retry_after=again.retry_delay.ToTimedelta().total_seconds() if again.HasField("retry_delay") else None,
    )


def _unnamed(code: grpc.StatusCode, details: str, target: str, request_id: str | None) -> FoveaClientError:
    if code is grpc.StatusCode.UNAVAILABLE:
        return Unreachable.at(target, details, request_id)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"{target} did not answer in time", request_id=request_id)
    # gRPC itself refuses a message over its limit, on either side, before the server could name the error.
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return BadImage(details, reason="TOO_MANY_BYTES", request_id=request_id)
    said = f"{code.name}, {details}" if details else code.name
    return ServerFailed(
        f"{target} did not answer like a Fovea server: {said}", reason="NOT_OURS", request_id=request_id
    )
