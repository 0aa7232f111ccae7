"""Every way to fail. Each error knows its reason, its HTTP status and its gRPC code; docs/errors.md lists them."""

from __future__ import annotations

from http import HTTPStatus
from typing import ClassVar

import grpc


class FoveaError(Exception):
    """A failure the caller is told about. The message is for a person and has the numbers in it."""

    reason: ClassVar[str] = "INTERNAL"
    title: ClassVar[str] = "Something went wrong inside the server"
    http: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    rpc: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    challenge: ClassVar[str | None] = None  # what REST answers as WWW-Authenticate

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds; None where trying again would not help


class EmptyBody(FoveaError):
    reason = "EMPTY_BODY"
    title = "No image was sent"
    http = HTTPStatus.BAD_REQUEST
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class MalformedRequest(FoveaError):
    """The envelope around the image cannot be read: JSON, multipart, base64, a header."""

    reason = "MALFORMED_REQUEST"
    title = "The request cannot be read"
    http = HTTPStatus.BAD_REQUEST
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class Unauthenticated(FoveaError):
    """No API key, or one that opens nothing. RFC 6750 says what the challenge looks like."""

    reason = "UNAUTHENTICATED"
    title = "An API key is needed"
    http = HTTPStatus.UNAUTHORIZED
    rpc = grpc.StatusCode.UNAUTHENTICATED
    challenge = 'Bearer realm="fovea"'


class PermissionDenied(FoveaError):
    """A good API key, and not for this."""

    reason = "PERMISSION_DENIED"
    title = "The API key is not for this"
    http = HTTPStatus.FORBIDDEN
    rpc = grpc.StatusCode.PERMISSION_DENIED
    challenge = 'Bearer realm="fovea", error="insufficient_scope"'


class ReceiveTimeout(FoveaError):
    """The rest of a request did not come."""

    reason = "RECEIVE_TIMEOUT"
    title = "The request came too slowly"
    http = HTTPStatus.REQUEST_TIMEOUT
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class HeadersTooLarge(FoveaError):
    """REST only."""

    reason = "HEADERS_TOO_LARGE"
    title = "The request's headers are too large"
    http = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class TooManyConnections(FoveaError):
    """Every connection there may be is at work. REST only."""

    reason = "TOO_MANY_CONNECTIONS"
    title = "The server has as many connections as it may"
    http = HTTPStatus.SERVICE_UNAVAILABLE
    rpc = grpc.StatusCode.UNAVAILABLE


class NotAnImage(FoveaError):
    reason = "NOT_AN_IMAGE"
    title = "These bytes are not an image"
    http = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class FormatNotServed(FoveaError):
    reason = "FORMAT_NOT_SERVED"
    title = "Images of this format are not served"
    http = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class Undecodable(FoveaError):
    reason = "UNDECODABLE"
    title = "The image is damaged or incomplete"
    http = HTTPStatus.UNPROCESSABLE_ENTITY
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class TooManyBytes(FoveaError):
    reason = "TOO_MANY_BYTES"
    title = "The image has too many bytes"
    http = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class TooManyPixels(FoveaError):
    reason = "TOO_MANY_PIXELS"
    title = "The image has too many pixels"
    http = HTTPStatus.UNPROCESSABLE_ENTITY
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class SideTooLong(FoveaError):
    reason = "SIDE_TOO_LONG"
    title = "A side of the image is too long"
    http = HTTPStatus.UNPROCESSABLE_ENTITY
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class TooManyFrames(FoveaError):
    reason = "TOO_MANY_FRAMES"
    title = "The image holds too many pictures"
    http = HTTPStatus.UNPROCESSABLE_ENTITY
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class TooMuchMetadata(FoveaError):
    reason = "TOO_MUCH_METADATA"
    title = "The image carries too much beside its pixels"
    http = HTTPStatus.UNPROCESSABLE_ENTITY
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class ProfileTooLarge(FoveaError):
    reason = "PROFILE_TOO_LARGE"
    title = "The image's colour profile is too large"
    http = HTTPStatus.UNPROCESSABLE_ENTITY
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class Quarantined(FoveaError):
    """This very image ended the process that worked on it, twice."""

    reason = "QUARANTINED"
    title = "The image is quarantined"
    http = HTTPStatus.UNPROCESSABLE_ENTITY
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class BadParameter(FoveaError):
    """A value outside what its parameter allows."""

    reason = "BAD_PARAMETER"
    title = "A parameter has a value that is not allowed"
    http = HTTPStatus.UNPROCESSABLE_ENTITY
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class UnknownModel(FoveaError):
    reason = "UNKNOWN_MODEL"
    title = "There is no such model"
    http = HTTPStatus.NOT_FOUND
    rpc = grpc.StatusCode.NOT_FOUND


class ModelRefused(FoveaError):
    """A model was not taken into service, or not out of it; what is served stayed as it was."""

    reason = "MODEL_REFUSED"
    title = "The model is not taken into service"
    http = HTTPStatus.CONFLICT
    rpc = grpc.StatusCode.FAILED_PRECONDITION


class BadExperiment(FoveaError):
    """A declaration with a field that cannot be, named in the message."""

    reason = "BAD_EXPERIMENT"
    title = "An experiment cannot be declared so"
    http = HTTPStatus.UNPROCESSABLE_ENTITY
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class UnknownExperiment(FoveaError):
    reason = "UNKNOWN_EXPERIMENT"
    title = "There is no such experiment"
    http = HTTPStatus.NOT_FOUND
    rpc = grpc.StatusCode.NOT_FOUND


class ExperimentRefused(FoveaError):
    """What was asked of an experiment does not go with what runs; all stayed as it was."""

    reason = "EXPERIMENT_REFUSED"
    title = "The experiment is not changed"
    http = HTTPStatus.CONFLICT
    rpc = grpc.StatusCode.FAILED_PRECONDITION


class ExperimentsUnavailable(FoveaError):
    """The store of the experiments does not answer; assignments go on as they were last known."""

    reason = "EXPERIMENTS_UNAVAILABLE"
    title = "The experiments cannot be read"
    http = HTTPStatus.SERVICE_UNAVAILABLE
    rpc = grpc.StatusCode.UNAVAILABLE


class Busy(FoveaError):
    """More is waiting than may wait."""

    reason = "BUSY"
    title = "The server has more to do than it can hold"
    http = HTTPStatus.TOO_MANY_REQUESTS
    rpc = grpc.StatusCode.RESOURCE_EXHAUSTED


class Shed(FoveaError):
    """It was waiting, and gave its place to a request of a higher class."""

    reason = "SHED"
    title = "A more urgent request took the place"
    http = HTTPStatus.TOO_MANY_REQUESTS
    rpc = grpc.StatusCode.RESOURCE_EXHAUSTED


class QuotaExceeded(FoveaError):
    reason = "QUOTA_EXCEEDED"
    title = "The key has used up its quota"
    http = HTTPStatus.TOO_MANY_REQUESTS
    rpc = grpc.StatusCode.RESOURCE_EXHAUSTED


class NotReady(FoveaError):
    """Triton is starting, restarting or gone."""

    reason = "NOT_READY"
    title = "The model is not ready"
    http = HTTPStatus.SERVICE_UNAVAILABLE
    rpc = grpc.StatusCode.UNAVAILABLE


class CrashLoop(NotReady):
    """Triton or a process of its models dies again and again; it is tried again, but seldom."""

    reason = "CRASH_LOOP"
    title = "The model's processes die again and again"


class Draining(FoveaError):
    """The server is stopping and takes nothing new."""

    reason = "DRAINING"
    title = "The server is stopping"
    http = HTTPStatus.SERVICE_UNAVAILABLE
    rpc = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(FoveaError):
    reason = "DEADLINE_EXCEEDED"
    title = "The answer was not ready in time"
    http = HTTPStatus.GATEWAY_TIMEOUT
    rpc = grpc.StatusCode.DEADLINE_EXCEEDED


class DeadlineUnreachable(FoveaError):
    """Refused at once: by the present estimate the answer would come too late."""

    reason = "DEADLINE_UNREACHABLE"
    title = "The answer would not be ready in time"
    http = HTTPStatus.GATEWAY_TIMEOUT
    rpc = grpc.StatusCode.DEADLINE_EXCEEDED


class UnknownLabel(FoveaError):
    """Feedback says what the model has no word for."""

    reason = "UNKNOWN_LABEL"
    title = "The model has no such label"
    http = HTTPStatus.UNPROCESSABLE_ENTITY
    rpc = grpc.StatusCode.INVALID_ARGUMENT


class FeatureLogOff(FoveaError):
    """Nothing is kept by this server, so there is nothing to add to and nothing to look up."""

    reason = "FEATURE_LOG_OFF"
    title = "This server keeps no feature log"
    http = HTTPStatus.CONFLICT
    rpc = grpc.StatusCode.FAILED_PRECONDITION


class FeatureLogUnavailable(FoveaError):
    """What somebody waits for cannot be written or read just now; answers are given all the same."""

    reason = "FEATURE_LOG_UNAVAILABLE"
    title = "The feature log cannot be written or read"
    http = HTTPStatus.SERVICE_UNAVAILABLE
    rpc = grpc.StatusCode.UNAVAILABLE


class NoSuchImage(FoveaError):
    """The log has no record of an image of this digest."""

    reason = "NO_SUCH_IMAGE"
    title = "No answer about this image is on record"
    http = HTTPStatus.NOT_FOUND
    rpc = grpc.StatusCode.NOT_FOUND


class InferenceFailed(FoveaError):
    """Triton answered with an error that is not of the image's making."""

    reason = "INFERENCE_FAILED"
    title = "The model failed on this image"


class StartError(Exception):
    """Why the server cannot start, and what to do about it. For the terminal, never for a caller."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint
