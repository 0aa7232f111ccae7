"""A stream is read no faster than it is answered, and leaves nothing behind when it is given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np

from fovea_client.wire import vision_pb2
from fovea_server.domain import Deadline, Inference, Model, ModelIdentity
from fovea_server.edge.grpc_servicer import Vision
from fovea_server.metrics import Metrics
from fovea_server.request.admission import Admission, AdmissionSettings
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.conversion import Conversion, ConversionSettings
from fovea_server.request.gate import Gate, GateSettings
from fovea_server.request.readiness import Readiness
from fovea_server.request.service import Service


class CountingEngine:
    """Answers at once, and counts."""

    def __init__(self) -> None:
        self.asked = 0

    async def infer(
        self, models: Sequence[Model], image: bytes, request_id: str, deadline: Deadline
    ) -> list[Inference]:
        self.asked += 1
        scores, zeros = np.array([0.25, 0.75], np.float32), np.zeros(3, np.float32)
        return [Inference(scores, zeros, zeros, None, None) for _ in models]


class Call:
    """As much of a gRPC context as a stream needs."""

    def time_remaining(self) -> float:
        return 60.0

    def invocation_metadata(self) -> tuple[()]:
        return ()


def _vision(engine: CountingEngine) -> Vision:
    readiness, metrics = Readiness(), Metrics()
    readiness.ready(1)
    identity = ModelIdentity("m", "1", "sha256:")
    catalogue = Catalogue([Model(identity, "preprocess_224", "m", "classify_m", ("a", "b"), 3, "", "")])
    admission = Admission(AdmissionSettings())
    conversion = Conversion(ConversionSettings(), GateSettings().max_pixels)
    service = Service(readiness, Gate(GateSettings()), catalogue, conversion, admission, engine, metrics)
    return Vision(service, catalogue, readiness, metrics)


async def test_a_caller_that_stops_reading_stops_being_read(espresso: bytes) -> None:
    engine, read = CountingEngine(), 0

    async def requests() -> AsyncIterator[Any]:
        nonlocal read
        for _ in range(20_000):
            read += 1
            yield vision_pb2.ClassifyRequest(image=espresso, top_k=1)

    vision = _vision(engine)
    answers = vision.ClassifyStream(requests(), Call())
    first = await anext(answers)
    assert first.answer.predictions[0].label == "b"
    await asyncio.sleep(0.2)
    assert read <= 64
    assert engine.asked <= 64
    assert not vision.idle.is_set()
    await answers.aclose()
    assert vision.idle.is_set()
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_every_image_of_a_stream_is_answered_once(espresso: bytes) -> None:
    async def requests() -> AsyncIterator[Any]:
        for number in range(200):
            image = b"" if number % 7 == 0 else espresso
            yield vision_pb2.ClassifyRequest(image=image, request_id=str(number), top_k=1)

    vision = _vision(CountingEngine())
    outcomes = [outcome async for outcome in vision.ClassifyStream(requests(), Call())]
    assert sorted(int(outcome.id) for outcome in outcomes) == list(range(200))
    failed = {int(outcome.id) for outcome in outcomes if outcome.WhichOneof("outcome") == "error"}
    assert failed == set(range(0, 200, 7))
    assert vision.idle.is_set()
