"""An answer that is there when its deadline has passed is late, whatever kept the process from seeing the alarm."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
from tests.request.questions import a_service

from fovea_server.domain import Deadline, Inference, Model, Question
from fovea_server.errors import DeadlineExceeded
from fovea_server.metrics import Metrics


class _WithoutAProcessor:
    """The event loop sees nothing, not even an alarm, until the answer is there."""

    async def infer(
        self, models: Sequence[Model], image: bytes, request_id: str, deadline: Deadline
    ) -> list[Inference]:
        time.sleep(0.1)  # noqa: ASYNC251 - it is what is tested
        zeros = np.zeros(3, np.float32)
        return [Inference(zeros[:2], zeros, zeros, None, None) for _ in models]


@pytest.mark.parametrize(("seconds", "is_late"), [(0.05, True), (30.0, False)])
async def test_an_answer_after_the_deadline_is_none(espresso: bytes, seconds: float, is_late: bool) -> None:
    service = a_service(_WithoutAProcessor(), Metrics())
    question = Question("id", espresso, (), 1, False, Deadline.after(seconds), time.monotonic())
    if is_late:
        with pytest.raises(DeadlineExceeded, match=r"the answer was there \d+\.\d ms after the deadline"):
            await service.answer(question)
    else:
        assert (await service.answer(question)).results[0].model.name == "alpha"
