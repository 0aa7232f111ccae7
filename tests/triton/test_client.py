"""Triton's errors become ours, by the texts that tritonserver 2.51 really sends; a call may wait for a connection."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from tests.conftest import free_ports

from fovea_pipelines import triton_messages
from fovea_server.domain import Deadline, Model, ModelIdentity
from fovea_server.errors import Busy, DeadlineExceeded, FoveaError, InferenceFailed, NotReady, Undecodable
from fovea_server.triton.client import TritonClient, WorkerDied, translate


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


_MODEL = Model(ModelIdentity("m", "1", "digest"), "preprocess", "m", "classify_m", ("one",), 5, "", "")


async def _asked(client: TritonClient, seconds: float) -> FoveaError:
    with pytest.raises(FoveaError) as raised:
        await client.infer([_MODEL], b"image", "id", Deadline.after(seconds))
    return raised.value


async def test_who_is_told_that_triton_is_back_waits_for_the_connection_and_others_do_not() -> None:
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    told, looking = TritonClient(address, "", is_patient=True), TritonClient(address, "")
    server = grpc.aio.server()  # it has no method, and says so: that is an answer
    try:
        waiting = asyncio.create_task(_asked(told, 20))
        assert isinstance(await _asked(looking, 20), NotReady)
        assert isinstance(await _asked(told, 0.1), DeadlineExceeded)
        assert not waiting.done()
        server.add_insecure_port(address)
        await server.start()
        assert isinstance(await waiting, InferenceFailed)
    finally:
        await told.close()
        await looking.close()
        await server.stop(0)
