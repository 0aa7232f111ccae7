"""Triton's errors become ours, by the texts that tritonserver 2.51 really sends; what nobody waits for is withdrawn."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
from tests.triton.speaking import reply, speaking

from fovea_pipelines import triton_messages
from fovea_pipelines.withdrawn import is_withdrawn
from fovea_server.domain import Deadline, Model, ModelIdentity
from fovea_server.errors import Busy, DeadlineExceeded, FoveaError, InferenceFailed, NotReady, Undecodable
from fovea_server.triton.client import TritonClient, WorkerDied, translate
from fovea_server.triton.process import TritonSettings


@pytest.mark.parametrize(
    ("status", "problem", "expected"),
    [
        (400, f"in ensemble 'c', {triton_messages.UNDECODABLE}it is damaged", Undecodable),
        (500, f"in ensemble 'c', {triton_messages.LATE}", DeadlineExceeded),
        (503, "Exceeds maximum queue size", Busy),
        (503, "Server is stopping, scheduler for model has stopped accepting", NotReady),
        (404, "Request for unknown model: 'c' has no available versions", NotReady),
        (500, "Stub process 'preprocess_224_0_0' is not healthy.", WorkerDied),
        (500, "Failed to process the request(s): ValueError", InferenceFailed),
        (500, "Failed to process the request(s): MemoryError", NotReady),
        (500, "Error in CPU operator `nvidia.dali.fn.decoders.image`: std::bad_alloc", NotReady),
        (500, "Failed to increase the shared memory pool size", NotReady),
        (400, "unexpected shape for input 'IMAGE'", InferenceFailed),
    ],
)
def test_each_of_tritons_errors_has_its_own(status: int, problem: str, expected: type[FoveaError]) -> None:
    assert type(translate(status, problem, 2.5)) is expected


def test_what_the_decoder_said_reaches_the_caller_without_tritons_frame() -> None:
    assert str(translate(400, f"in ensemble 'c', {triton_messages.UNDECODABLE}it is damaged", 2.5)) == "it is damaged"


_MODEL = Model(ModelIdentity("m", "1", "digest"), "preprocess", "m", "classify_m", ("one",), 5, "", "")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[TritonClient]:
    client = TritonClient(
        TritonSettings(socket=str(tmp_path / "s")), "", 64, lambda *, all_gone=False: 4.5 if all_gone else 2.5
    )
    yield client
    await client.close()


async def _asked(client: TritonClient, seconds: float = 10, image: bytes = b"image") -> FoveaError:
    with pytest.raises(FoveaError) as raised:
        await client.infer([_MODEL], image, "id", Deadline.after(seconds))
    return raised.value


def _says(answer: bytes) -> Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]:
    async def say(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return say


async def _nothing(body: bytes, writer: asyncio.StreamWriter) -> None:
    """Never an answer."""


def _ticket(body: bytes) -> str:
    return str(orjson.loads(body[: body.rindex(b"}") + 1])["parameters"][triton_messages.TICKET])


async def test_tensors_are_read_from_behind_the_json(client: TritonClient, tmp_path: Path) -> None:
    tensors = {
        "SCORES": np.array([[0.25, 0.75]], "<f4"),
        "EMBEDDING": np.array([[1, 2, 3]], "<f4"),
        "QUALITY": np.array([[0.1, 0.2, 0.3]], "<f4"),
        "PREPROCESS_SPAN": np.array([[1_000_000_000, 2_000_000_000]], "<i8"),
        "MODEL_SPAN": np.zeros((1, 2), "<i8"),
    }
    kinds = {"float32": "FP32", "int64": "INT64"}
    outputs = [
        {
            "name": name,
            "datatype": kinds[tensor.dtype.name],
            "shape": tensor.shape,
            "parameters": {"binary_data_size": tensor.nbytes},
        }
        for name, tensor in tensors.items()
    ]
    json = orjson.dumps({"outputs": outputs})
    body = json + b"".join(tensor.tobytes() for tensor in tensors.values())
    async with speaking(tmp_path / "s", _says(reply(body, json_length=len(json)))) as heard:
        (inference,) = await client.infer([_MODEL], b"image", "id", Deadline.after(5))
    assert inference.scores is not None
    assert (inference.scores.tolist(), inference.embedding.tolist()) == ([0.25, 0.75], [1, 2, 3])
    assert inference.preprocess is not None
    assert (inference.preprocess.begin, inference.preprocess.end, inference.model) == (1, 2, None)
    assert heard.bodies[0].endswith(b"}image")


async def test_an_error_is_tritons_text(client: TritonClient, tmp_path: Path) -> None:
    async with speaking(tmp_path / "s", _says(reply(b'{"error":"no such thing"}', status=b"400 Bad Request"))):
        error = await _asked(client)
    assert isinstance(error, InferenceFailed)
    assert "400: no such thing" in str(error)


async def test_an_unhealthy_process_is_noted_by_its_model(client: TritonClient, tmp_path: Path) -> None:
    body = b'{"error":"Stub process \'m_0_0\' is not healthy."}'
    async with speaking(tmp_path / "s", _says(reply(body, status=b"500 Internal Server Error"))):
        error = await _asked(client)
    assert (type(error), error.retry_after) == (WorkerDied, 2.5)
    assert client.pulse.unhealthy == {"m"}


@pytest.mark.parametrize(
    ("text", "blamed"), [(triton_messages.PREPROCESSING, {"preprocess"}), ("", {"preprocess", "m"})]
)
async def test_where_preprocessing_says_that_it_got_no_memory_the_network_goes_on(
    text: str, blamed: set[str], client: TritonClient, tmp_path: Path
) -> None:
    body = orjson.dumps({"error": f"in ensemble 'classify_m', {text}std::bad_alloc"})
    async with speaking(tmp_path / "s", _says(reply(body, status=b"500 Internal Server Error"))):
        assert isinstance(await _asked(client), NotReady)
    assert client.pulse.unhealthy == blamed


async def test_who_is_too_late_is_told_and_what_was_asked_is_withdrawn(client: TritonClient, tmp_path: Path) -> None:
    async with speaking(tmp_path / "s", _nothing) as heard:
        assert isinstance(await _asked(client, 0.1), DeadlineExceeded)
        assert is_withdrawn(_ticket(heard.bodies[0]))


async def test_what_is_cancelled_is_withdrawn_and_beside_it_nothing(client: TritonClient, tmp_path: Path) -> None:
    async with speaking(tmp_path / "s", _nothing) as heard:
        calls = [asyncio.create_task(client.infer([_MODEL], b"i", "id", Deadline.after(5))) for _ in range(2)]
        await asyncio.sleep(0.1)
        calls[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await calls[0]
        assert sorted(is_withdrawn(_ticket(body)) for body in heard.bodies) == [False, True]
        calls[1].cancel()
        await asyncio.wait(calls)


async def test_who_waits_for_what_is_gone_is_told_why(client: TritonClient, tmp_path: Path) -> None:
    async with speaking(tmp_path / "s", _nothing) as heard:
        call = asyncio.create_task(_asked(client))
        await asyncio.sleep(0.1)
        client.pulse.cut_off(["m"], "it died")
        error = await call
        assert is_withdrawn(_ticket(heard.bodies[0]))
    assert isinstance(error, WorkerDied)
    assert str(error) == "it died"


async def test_a_cancellation_at_the_moment_of_the_deadline_is_one(client: TritonClient, tmp_path: Path) -> None:
    async with speaking(tmp_path / "s", _nothing):
        call = asyncio.create_task(client.infer([_MODEL], b"image", "id", Deadline.after(10)))
        await asyncio.sleep(0.1)
        client.pulse.cut_off(["m"], "it died")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_a_triton_that_ends_meanwhile_and_one_that_is_not_there(client: TritonClient, tmp_path: Path) -> None:
    async def end(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with speaking(tmp_path / "s", end):
        assert isinstance(await _asked(client), WorkerDied)
    (tmp_path / "s").unlink(missing_ok=True)
    error = await _asked(client)
    assert isinstance(error, NotReady)
    assert not isinstance(error, WorkerDied)


@pytest.mark.parametrize("seconds", [0.05, 5])
async def test_the_image_of_a_call_that_failed_is_gone_without_the_collector(
    client: TritonClient, tmp_path: Path, seconds: float
) -> None:
    async def end(body: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.close()

    gc.collect()
    gc.disable()
    try:
        image = bytes(1000)
        before = sys.getrefcount(image)
        async with speaking(tmp_path / "s", end):
            with contextlib.suppress(FoveaError):
                await client.infer([_MODEL], image, "id", Deadline.after(seconds))
            await asyncio.sleep(0.3)
        assert sys.getrefcount(image) == before
    finally:
        gc.enable()
