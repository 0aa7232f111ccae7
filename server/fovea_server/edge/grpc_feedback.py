"""Feedback over gRPC: from messages to what the log takes, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea_client.wire import vision_pb2
from fovea_server.domain import Caller
from fovea_server.edge import feedback_documents as documents
from fovea_server.edge import grpc_status
from fovea_server.errors import BadParameter, FoveaError
from fovea_server.feature_log.feedback import Accepted, Feedback
from fovea_server.feature_log.log import FeatureLog, there

_STATUS = vision_pb2.FeedbackOutcome


async def give(log: FeatureLog | None, request: Any, caller: Caller, identity: str) -> Any:
    """What became of each feedback of the request. Raises a FoveaError where none could be kept."""
    kept = there(log)
    if len(request.feedback) > documents.MOST_LINES:
        raise BadParameter(f"{len(request.feedback):,} feedbacks; at most {documents.MOST_LINES:,} at once")
    read = [_read(each) for each in request.feedback]
    outcomes = await kept.feedback.accept_fit(read, caller)
    return vision_pb2.GiveFeedbackResponse(outcomes=_outcomes(request.feedback, outcomes, identity))


def _read(message: Any) -> Feedback | FoveaError:
    document = {"id": message.id, "label": getattr(message, message.WhichOneof("truth") or "label")}
    try:
        return documents.of_document({**document, **({"model": message.model} if message.model else {})})
    except FoveaError as error:
        return error


def _outcomes(given: Sequence[Any], outcomes: Sequence[Accepted | FoveaError], identity: str) -> list[Any]:
    return [_outcome(message.id, outcome, identity) for message, outcome in zip(given, outcomes, strict=True)]


def _outcome(about: str, outcome: Accepted | FoveaError, identity: str) -> Any:
    if isinstance(outcome, FoveaError):
        error = grpc_status.of_error(outcome, identity)
        return vision_pb2.FeedbackOutcome(id=about, status=_STATUS.REFUSED, error=error)
    return vision_pb2.FeedbackOutcome(id=about, status=_STATUS.MATCHED if outcome.matched else _STATUS.PENDING)
