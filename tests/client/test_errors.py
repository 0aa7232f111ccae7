"""How calls fail: the same way whichever client asked."""

from __future__ import annotations

import pickle

import pytest
from tests.client.callers import ask, ask_at
from tests.client.scripted import Refused, Script, grpc_server

from fovea_client import (
    BadImage,
    BadRequest,
    DeadlineExceeded,
    FoveaClientError,
    GrpcClient,
    NotAllowed,
    NotReady,
    ServerBusy,
    ServerFailed,
    UnknownModel,
    Unreachable,
)
from fovea_client.errors import from_reason
from fovea_server import errors as served

FAMILIES: dict[type[served.FoveaError], type[FoveaClientError]] = {
    served.EmptyBody: BadImage,
    served.NotAnImage: BadImage,
    served.FormatNotServed: BadImage,
    served.Undecodable: BadImage,
    served.TooManyBytes: BadImage,
    served.TooManyPixels: BadImage,
    served.SideTooLong: BadImage,
    served.TooManyFrames: BadImage,
    served.TooMuchMetadata: BadImage,
    served.ProfileTooLarge: BadImage,
    served.Quarantined: BadImage,
    served.MalformedRequest: BadRequest,
    served.BadParameter: BadRequest,
    served.HeadersTooLarge: BadRequest,
    served.ReceiveTimeout: BadRequest,
    served.UnknownLabel: BadRequest,
    served.FeatureLogOff: BadRequest,
    served.Unauthenticated: NotAllowed,
    served.PermissionDenied: NotAllowed,
    served.TooManyConnections: ServerBusy,
    served.UnknownModel: UnknownModel,
    served.Busy: ServerBusy,
    served.Shed: ServerBusy,
    served.QuotaExceeded: ServerBusy,
    served.NotReady: NotReady,
    served.CrashLoop: NotReady,
    served.Draining: NotReady,
    served.FeatureLogUnavailable: NotReady,
    served.DeadlineExceeded: DeadlineExceeded,
    served.DeadlineUnreachable: DeadlineExceeded,
    served.InferenceFailed: ServerFailed,
    served.FoveaError: ServerFailed,
}

# Said on the control socket, of what is on record and of experiments; the clients ask for none of these.
NEVER_TO_A_CLIENT = {
    served.ModelRefused,
    served.NoSuchImage,
    served.BadExperiment,
    served.UnknownExperiment,
    served.ExperimentRefused,
    served.ExperimentsUnavailable,
}


class FromTheFuture(served.FoveaError):
    reason = "TOO_BEAUTIFUL"


def test_every_error_that_a_client_may_meet_is_known_here() -> None:
    ours = {kind for kind in vars(served).values() if isinstance(kind, type) and issubclass(kind, served.FoveaError)}
    assert ours - NEVER_TO_A_CLIENT == set(FAMILIES)
    for kind, family in FAMILIES.items():
        assert kind.reason in family.reasons


@pytest.mark.parametrize("kind", FAMILIES, ids=lambda kind: kind.reason)
def test_an_error_has_the_same_class_whichever_client_asked(name: str, kind: type[served.FoveaError]) -> None:
    script = Script(Refused(kind("what went wrong, with 3 numbers", retry_after=7.0)))
    with pytest.raises(FoveaClientError) as raised:
        ask(name, script, "classify", b"image", request_id="r1", retries=0)
    error = raised.value
    assert type(error) is FAMILIES[kind]
    assert (error.reason, error.message, str(error)) == (kind.reason, "what went wrong, with 3 numbers", error.message)
    assert (error.request_id, error.retry_after) == ("r1", 7.0)


def test_a_reason_newer_than_the_client_is_the_servers_failure(name: str) -> None:
    with pytest.raises(ServerFailed, match="too beautiful") as raised:
        ask(name, Script(Refused(FromTheFuture("too beautiful"))), "classify", b"image")
    assert (raised.value.reason, raised.value.retry_after) == ("TOO_BEAUTIFUL", None)


@pytest.mark.parametrize("verb", ["classify", "models"])
def test_where_nobody_listens_the_error_says_where_and_what_to_do(name: str, verb: str, nobody: str) -> None:
    address = nobody if "Grpc" in name else f"http://{nobody}"
    with pytest.raises(Unreachable, match=rf"{nobody} .*fovea serve"):
        ask_at(name, address, verb, *([b"image"] if verb == "classify" else []), retries=0)


def test_where_nobody_listens_nothing_is_ready(name: str, nobody: str) -> None:
    assert ask_at(name, nobody if "Grpc" in name else f"http://{nobody}", "ready") is False


def test_an_image_over_the_limit_of_grpc_is_a_bad_image() -> None:
    script = Script()
    with grpc_server(script) as target, GrpcClient(target) as client, pytest.raises(BadImage) as raised:
        client.classify(bytes(33 * 1024 * 1024))
    assert (raised.value.reason, script.asked) == ("TOO_MANY_BYTES", [])


def test_an_error_travels_between_processes() -> None:
    error = from_reason("BUSY", "8 wait", request_id="r1", retry_after=2.0)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(again), vars(again)) == (ServerBusy, vars(error))


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate", "the certificate of here:1 is not trusted"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "here:1 speaks no TLS"),
        ("UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed", "for grpcs://"),
        ("Server disconnected without sending a response.", "for https://"),
        ("[Errno 111] Connection refused", "nothing answers on here:1"),
    ],
)
def test_what_a_failed_connection_means_is_said(cause: str, said: str) -> None:
    message = Unreachable.at("here:1", cause).message
    assert said in message
    assert cause in message
