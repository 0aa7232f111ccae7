"""In an overload a cheaper model answers who asked for none by name, and the answer says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import orjson

from fovea_server.domain import Answer, Deadline, Inference, Model, ModelIdentity, Question
from fovea_server.edge import rest_answers
from fovea_server.metrics import Metrics
from fovea_server.request.admission import Admission, AdmissionSettings
from fovea_server.request.catalogue import Catalogue
from fovea_server.request.conversion import Conversion, ConversionSettings
from fovea_server.request.gate import Gate, GateSettings
from fovea_server.request.readiness import Readiness
from fovea_server.request.service import Service


class _Engine:
    """Answers at once."""

    async def infer(
        self, models: Sequence[Model], image: bytes, request_id: str, deadline: Deadline
    ) -> list[Inference]:
        scores, zeros = np.array([0.25, 0.75], np.float32), np.zeros(3, np.float32)
        return [Inference(scores, zeros, zeros, None, None) for _ in models]


def _model(name: str, degrade_to: str = "") -> Model:
    identity = ModelIdentity(name, "1", "sha256:")
    return Model(identity, "p", name, f"classify_{name}", ("a", "b"), 3, "", "", degrade_to=degrade_to)


async def _answer(asked: tuple[str, ...], *models: Model, overloaded: bool) -> Answer:
    readiness, metrics = Readiness(), Metrics()
    readiness.ready(1)
    admission = Admission(AdmissionSettings(max_in_flight=1, patience=0, batch=None))
    conversion = Conversion(ConversionSettings(), GateSettings().max_pixels)
    service = Service(readiness, Gate(GateSettings()), Catalogue(models), conversion, admission, _Engine(), metrics)
    if overloaded:
        await _overload(admission)
    image = b"BM" + (54 + 12).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    image += (40).to_bytes(4, "little") + (2).to_bytes(4, "little") * 2 + b"\x01\x00\x18\x00" + bytes(24) + bytes(16)
    return await service.answer(Question("id", image, asked, 1, False, Deadline.after(30), 0.0))


async def _overload(admission: Admission) -> None:
    """One inside, one that waits, one turned away."""

    async def ask() -> None:
        async with admission.slot(1, Deadline.after(30)):
            await asyncio.sleep(0.01)

    await asyncio.gather(*(ask() for _ in range(3)), return_exceptions=True)
    assert admission.is_overloaded


async def test_the_cheaper_model_answers_and_the_answer_says_so() -> None:
    answer = await _answer((), _model("large", "small"), _model("small"), overloaded=True)
    assert (answer.results[0].model.name, answer.degraded) == ("small", True)
    assert orjson.loads(rest_answers.of_classification(answer).body)["degraded"] is True


async def test_the_default_answers_while_there_is_no_overload() -> None:
    answer = await _answer((), _model("large", "small"), _model("small"), overloaded=False)
    assert (answer.results[0].model.name, answer.degraded) == ("large", False)
    assert "degraded" not in orjson.loads(rest_answers.of_classification(answer).body)


async def test_who_asks_by_name_gets_that_model() -> None:
    answer = await _answer(("large",), _model("large", "small"), _model("small"), overloaded=True)
    assert (answer.results[0].model.name, answer.degraded) == ("large", False)


async def test_a_cheaper_model_that_is_not_served_changes_nothing() -> None:
    answer = await _answer((), _model("large", "gone"), _model("other"), overloaded=True)
    assert (answer.results[0].model.name, answer.degraded) == ("large", False)
