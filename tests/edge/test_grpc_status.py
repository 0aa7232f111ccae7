"""The details of a gRPC status: who may come back is told when, as docs/errors.md says."""

from __future__ import annotations

from google.rpc import error_details_pb2, status_pb2
from tests.conftest import ROOT

from fovea_server.domain import Deadline
from fovea_server.edge import grpc_status
from fovea_server.errors import Busy, DeadlineExceeded, FoveaError, NotAnImage, NotReady
from fovea_server.request.admission import refusals


def _retry(error: FoveaError) -> float | None:
    """Seconds to wait, as a client reads them."""
    status = status_pb2.Status.FromString(grpc_status.of_error(error, "id-1").SerializeToString())
    said = error_details_pb2.RetryInfo()
    return next((said.retry_delay.ToMilliseconds() / 1000 for each in status.details if each.Unpack(said)), None)


def test_who_is_told_when_to_come_back_is_who_the_page_names() -> None:
    """Another moment helps also a deadline that the present estimate cannot meet, and not one that has passed."""
    unreachable = refusals.too_late(2.0, Deadline.after(0.5))
    told = [Busy("full", retry_after=1.5), NotReady("starting", retry_after=1.5), unreachable]
    assert all(_retry(error) for error in told)
    assert 1.4 < (_retry(unreachable) or 0) < 2.0
    assert [_retry(error) for error in (DeadlineExceeded("too late"), NotAnImage("text"))] == [None, None]
    page = " ".join((ROOT / "docs/errors.md").read_text().split())
    assert "for RESOURCE_EXHAUSTED, UNAVAILABLE and `DEADLINE_UNREACHABLE` only" in page
