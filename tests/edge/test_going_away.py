"""A caller that goes away frees its place at once, waiting or being worked on, over REST, gRPC and a stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import grpc
import grpc.aio
import pytest
from tests.edge.faces import alone
from tests.ports import free_ports
from tests.waiting import eventually

from fovea_client.wire import vision_pb2, vision_pb2_grpc
from fovea_server.domain import Deadline, Inference, Model, ModelIdentity, Priority
from fovea_server.edge import rest_app
from fovea_server.edge.grpc_face import GrpcFace
from fovea_server.edge.grpc_servicer import Vision
from fovea_server.edge.http_face import RestFace
from fovea_server.edge.listen import EdgeSettings
from fovea_server.metrics import Metrics
from fovea_server.request.admission import Admission, AdmissionSettings
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.conversion import Conversion, ConversionSettings
from fovea_server.request.gate import Gate, GateSettings
from fovea_server.request.readiness import Readiness
from fovea_server.request.service import Service

_PLACES = 2


class HangingEngine:
    """Works until it is told to stop, and counts how often it was asked and stopped."""

    def __init__(self) -> None:
        self.asked = self.stopped = 0

    async def infer(
        self, models: Sequence[Model], image: bytes, request_id: str, deadline: Deadline
    ) -> list[Inference]:
        self.asked += 1
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        return []


@dataclass
class Faces:
    edge: EdgeSettings
    engine: HangingEngine
    admission: Admission
    metrics: Metrics


@pytest.fixture
async def faces() -> AsyncIterator[Faces]:
    readiness, metrics, engine = Readiness(), Metrics(), HangingEngine()
    readiness.ready(1)
    model = Model(ModelIdentity("m", "1", "sha256:"), "preprocess_224", "m", "classify_m", ("a", "b"), 3, "", "")
    catalogue, gate = Catalogue([model]), Gate(GateSettings())
    admission = Admission(AdmissionSettings(max_in_flight=_PLACES, batch=None), on_refusal=metrics.turned_away)
    metrics.watch_admission(admission)
    conversion = Conversion(ConversionSettings(), GateSettings().max_pixels)
    service = Service(readiness, gate, catalogue, conversion, admission, engine, metrics)
    edge = EdgeSettings("127.0.0.1", *free_ports(2))
    rest = RestFace(rest_app.create(service, gate, catalogue, readiness, metrics, alone(metrics)), edge)
    vision = GrpcFace(Vision(service, catalogue, readiness, metrics), readiness, edge)
    await rest.open()
    await vision.open()
    yield Faces(edge, engine, admission, metrics)
    await rest.close(0)
    await vision.close(0)


async def _rest_callers(faces: Faces, image: bytes, count: int) -> list[asyncio.StreamWriter]:
    """That many connections, each with a request that is not answered."""
    head = f"POST /v1/classify HTTP/1.1\r\nHost: here\r\nContent-Length: {len(image)}\r\n\r\n".encode()
    writers = []
    for _ in range(count):
        _, writer = await asyncio.open_connection("127.0.0.1", faces.edge.rest_port)
        writer.write(head + image)
        writers.append(writer)
    return writers


def _outcome(faces: Faces, outcome: str) -> float:
    return faces.metrics.registry.get_sample_value("fovea_requests_total", {"outcome": outcome}) or 0


@pytest.mark.parametrize("more", [0, 300_000], ids=["80 KB", "380 KB"])
async def test_rest_callers_who_hang_up_leave_the_room_and_stop_the_work(
    faces: Faces, espresso: bytes, more: int
) -> None:
    writers = await _rest_callers(faces, espresso + bytes(more), _PLACES + 5)
    await eventually(lambda: faces.admission.waiting == 5, 10)
    for writer in writers[_PLACES:]:
        writer.close()
    await eventually(lambda: faces.admission.waiting == 0, 10)
    assert faces.engine.asked == _PLACES
    for writer in writers[:_PLACES]:
        writer.transport.abort()
    await eventually(lambda: faces.admission.in_flight == 0, 10)
    assert (faces.engine.asked, faces.engine.stopped) == (_PLACES, _PLACES)
    assert _outcome(faces, "CANCELLED") == _PLACES + 5


async def test_the_place_of_who_hangs_up_goes_to_the_next(faces: Faces, espresso: bytes) -> None:
    writers = await _rest_callers(faces, espresso, _PLACES + 1)
    await eventually(lambda: faces.admission.waiting == 1, 10)
    writers[0].close()
    await eventually(lambda: faces.engine.asked == _PLACES + 1, 10)
    assert (faces.admission.waiting, faces.admission.in_flight) == (0, _PLACES)
    for writer in writers[1:]:
        writer.close()
    await eventually(lambda: faces.admission.in_flight == 0, 10)


async def test_a_caller_who_hangs_up_before_the_image_is_sent_is_not_answered(faces: Faces, espresso: bytes) -> None:
    (writer,) = await _rest_callers(faces, espresso, 1)
    _, half = await asyncio.open_connection("127.0.0.1", faces.edge.rest_port)
    half.write(b"POST /v1/classify HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\nhalf")
    await eventually(lambda: faces.engine.asked == 1, 10)
    half.close()
    writer.close()
    await eventually(lambda: faces.admission.in_flight == 0, 10)
    assert faces.engine.asked == 1


async def test_who_sends_too_many_requests_ahead_is_not_worked_on_and_leaves_nothing_in_the_log(
    faces: Faces, espresso: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (writer,) = await _rest_callers(faces, espresso, 1)
    await eventually(lambda: faces.engine.asked == 1, 10)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n" * 50)
    await eventually(lambda: faces.admission.in_flight == 0, 10)
    assert caplog.messages == []


async def test_a_cancelled_grpc_call_frees_its_place_and_one_past_its_deadline_too(
    faces: Faces, espresso: bytes
) -> None:
    request = vision_pb2.ClassifyRequest(image=espresso)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{faces.edge.grpc_port}") as channel:
        vision = vision_pb2_grpc.VisionStub(channel)
        calls = [vision.Classify(request, timeout=60) for _ in range(_PLACES + 3)]
        await eventually(lambda: faces.admission.waiting == 3, 10)
        for call in calls:
            call.cancel()
        await eventually(lambda: (faces.admission.waiting, faces.admission.in_flight) == (0, 0), 10)
        assert faces.engine.stopped == faces.engine.asked
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await vision.Classify(request, timeout=0.2)
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await eventually(lambda: faces.admission.in_flight == 0, 10)


async def test_a_stream_that_is_given_up_frees_all_its_places(faces: Faces, espresso: bytes) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{faces.edge.grpc_port}") as channel:
        stream = vision_pb2_grpc.VisionStub(channel).ClassifyStream(metadata=(("x-priority", "batch"),))
        for number in range(_PLACES + 4):
            await stream.write(vision_pb2.ClassifyRequest(image=espresso, request_id=str(number)))
        await eventually(lambda: faces.admission.waiting_of(Priority.BATCH) == 4, 10)
        stream.cancel()
        await eventually(lambda: (faces.admission.waiting, faces.admission.in_flight) == (0, 0), 10)


async def test_an_unknown_priority_is_said_on_a_call_and_on_a_stream(faces: Faces, espresso: bytes) -> None:
    metadata = (("x-priority", "urgent"),)
    request = vision_pb2.ClassifyRequest(image=espresso)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{faces.edge.grpc_port}") as channel:
        vision = vision_pb2_grpc.VisionStub(channel)
        with pytest.raises(grpc.aio.AioRpcError, match="must be interactive or batch"):
            await vision.Classify(request, metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError, match="must be interactive or batch") as raised:
            await vision.ClassifyStream(iter([request]), metadata=metadata).read()
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_thousand_callers_who_hang_up_while_waiting_are_never_worked_on(faces: Faces, espresso: bytes) -> None:
    request = vision_pb2.ClassifyRequest(image=espresso)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{faces.edge.grpc_port}") as channel:
        vision = vision_pb2_grpc.VisionStub(channel)
        inside = [vision.Classify(request, timeout=60) for _ in range(_PLACES)]
        await eventually(lambda: faces.admission.in_flight == _PLACES, 10)
        waiting = [vision.Classify(request, timeout=60, metadata=(("x-priority", "batch"),)) for _ in range(1000)]
        await eventually(lambda: faces.admission.waiting_of(Priority.BATCH) == 1000, 60)
        for call in waiting:
            call.cancel()
        await eventually(lambda: faces.admission.waiting == 0, 30)
        assert faces.engine.asked == _PLACES
        for call in inside:
            call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*inside, *waiting, return_exceptions=True)
        await eventually(lambda: faces.admission.in_flight == 0, 10)
