"""Every way a call can fail, in families: catch a family, tell its members apart by `reason`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class FoveaClientError(Exception):
    """A call that got no answer. The message is for a person, `reason` for a program."""

    reasons: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.reasons[0]
        self.request_id = request_id
        self.retry_after = retry_after  # seconds; None where the server gave none

    def was_tried(self, reasons: Sequence[str]) -> None:
        """Say how often, and why the tries before the last came to nothing; `reasons` are those of all tries."""
        if len(reasons) > 1:
            before = ", ".join(dict.fromkeys(reasons[:-1]))
            self.message = f"{self.message} (try {len(reasons)}; before: {before})"
            self.args = (self.message,)


class BadImage(FoveaClientError):
    """The image is at fault; the same bytes will never be answered."""

    reasons = (
        *("NOT_AN_IMAGE", "EMPTY_BODY", "FORMAT_NOT_SERVED", "UNDECODABLE", "TOO_MANY_BYTES", "TOO_MANY_PIXELS"),
        *("SIDE_TOO_LONG", "TOO_MANY_FRAMES", "TOO_MUCH_METADATA", "PROFILE_TOO_LARGE", "QUARANTINED"),
    )


class BadRequest(FoveaClientError):
    """What was asked is at fault, not the image."""

    reasons = (
        *("MALFORMED_REQUEST", "BAD_PARAMETER", "HEADERS_TOO_LARGE", "RECEIVE_TIMEOUT"),
        *("UNKNOWN_LABEL", "FEATURE_LOG_OFF"),
    )


class NotAllowed(FoveaClientError):
    """No API key, one that is not good, or one that is not for this."""

    reasons = ("UNAUTHENTICATED", "PERMISSION_DENIED")


class UnknownModel(FoveaClientError):
    reasons = ("UNKNOWN_MODEL",)


class ServerBusy(FoveaClientError):
    """More is waiting than may wait, more is connected than may be, or this caller asks for more than it may."""

    reasons = ("BUSY", "SHED", "QUOTA_EXCEEDED", "TOO_MANY_CONNECTIONS")


class NotReady(FoveaClientError):
    """The server is there, but is starting, stopping, or what it needs dies again and again."""

    reasons = ("NOT_READY", "CRASH_LOOP", "DRAINING", "FEATURE_LOG_UNAVAILABLE")


class DeadlineExceeded(FoveaClientError):
    """The timeout passed, here or in the server, or the server saw that it would."""

    reasons = ("DEADLINE_EXCEEDED", "DEADLINE_UNREACHABLE")


class ServerFailed(FoveaClientError):
    """The server failed, or what answered is not a Fovea server."""

    reasons = ("INTERNAL", "INFERENCE_FAILED", "NOT_OURS")


# By what httpx and gRPC say of a connection that failed: what it means, and what to do.
_FAR = (
    ("CERTIFICATE_VERIFY_FAILED", "the certificate of {} is not trusted", "name who signed it as ca_file (--ca-file)"),
    ("CERTIFICATE_REQUIRED", "{} asks for a certificate", "name yours as client_certificate (--client-certificate)"),
    ("WRONG_VERSION_NUMBER", "{} speaks no TLS", "is it this port, and not http:// or grpc://?"),
    ("Failed parsing HTTP/2", "{} speaks no gRPC", "is it this port?"),
    ("disconnected without", "{} hung up", "is it stopping, or is it a port with TLS, for https://?"),
    ("Socket closed", "{} hung up", "is it stopping, or is it a port with TLS, for grpcs://?"),
)


class Unreachable(FoveaClientError):
    """No connection, or one that ended before an answer began."""

    reasons = ("UNREACHABLE",)

    @classmethod
    def at(cls, address: str, cause: str, request_id: str | None = None) -> Unreachable:
        known = ((why, do) for sign, why, do in _FAR if sign in cause)
        why, do = next(known, ("nothing answers on {}", "start a server with `fovea serve`"))
        return cls(f"{why.format(address)} ({cause}); {do}", request_id=request_id)


_FAMILIES: dict[str, type[FoveaClientError]] = {
    reason: family
    for family in (BadImage, BadRequest, NotAllowed, UnknownModel, ServerBusy, NotReady, DeadlineExceeded, ServerFailed)
    for reason in family.reasons
}


def from_reason(
    reason: str, message: str, *, request_id: str | None = None, retry_after: float | None = None
) -> FoveaClientError:
    """The error a server named; a reason newer than this client is the server's failure."""
    family = _FAMILIES.get(reason, ServerFailed)
    return family(message, reason=reason, request_id=request_id, retry_after=retry_after)
