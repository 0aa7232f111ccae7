"""Triton's errors become ours, by the texts that tritonserver 2.51 really sends."""

from __future__ import annotations

import grpc
import pytest

from fovea_pipelines import triton_messages
from fovea_server.errors import Busy, DeadlineExceeded, FoveaError, InferenceFailed, NotReady, Undecodable
from fovea_server.triton.client import WorkerDied, translate


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, f"in ensemble 'c', {triton_messages.UNDECODABLE}it is damaged", Undecodable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", DeadlineExceeded),
        (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size", Busy),
        (grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses", NotReady),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", WorkerDied),
        (grpc.StatusCode.UNAVAILABLE, "Server is stopping, scheduler for model has stopped accepting", NotReady),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'c' has no available versions", NotReady),
        (grpc.StatusCode.INTERNAL, "Stub process 'preprocess_224_0_0' is not healthy.", WorkerDied),
        (grpc.StatusCode.INTERNAL, "Failed to process the request(s): ValueError", InferenceFailed),
        (grpc.StatusCode.INTERNAL, "Failed to process the request(s): MemoryError", NotReady),
        (grpc.StatusCode.INTERNAL, "Error in CPU operator `nvidia.dali.fn.decoders.image`: std::bad_alloc", NotReady),
        (grpc.StatusCode.INTERNAL, "Failed to increase the shared memory pool size", NotReady),
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape for input 'IMAGE'", InferenceFailed),
    ],
)
def test_each_of_tritons_errors_has_its_own(code: grpc.StatusCode, details: str, expected: type[FoveaError]) -> None:
    assert type(translate(code, details)) is expected


def test_what_the_decoder_said_reaches_the_caller_without_tritons_frame() -> None:
    error = translate(grpc.StatusCode.INVALID_ARGUMENT, f"in ensemble 'c', {triton_messages.UNDECODABLE}it is damaged")
    assert str(error) == "it is damaged"
