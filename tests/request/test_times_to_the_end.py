"""How long an image took is counted however it ends: callers wait for failures too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from tests.request.questions import a_service

from fovea_server.domain import Deadline, Inference, Model, Question
from fovea_server.errors import DeadlineExceeded, DeadlineUnreachable, FoveaError, InferenceFailed, Undecodable
from fovea_server.metrics import Metrics

_SECONDS = 0.05


class _Engine:
    """Takes its time, then answers or raises."""

    def __init__(self, error: FoveaError | Exception | None = None) -> None:
        self._error = error

    async def infer(
        self, models: Sequence[Model], image: bytes, request_id: str, deadline: Deadline
    ) -> list[Inference]:
        await asyncio.sleep(_SECONDS)
        if self._error:
            raise self._error
        zeros = np.zeros(3, np.float32)
        return [Inference(zeros[:2], zeros, zeros, None, None) for _ in models]


def _times(metrics: Metrics) -> dict[str, tuple[float, float]]:
    """Count and sum of each ending that there was."""
    read = metrics.registry.get_sample_value
    endings = ("answered", "refused", "failed", "cancelled")
    counts = {
        each: read("fovea_request_seconds_count", {"ended": each, "priority": "interactive"}) or 0 for each in endings
    }
    sums = {
        each: read("fovea_request_seconds_sum", {"ended": each, "priority": "interactive"}) or 0 for each in endings
    }
    return {each: (counts[each], sums[each]) for each in endings if counts[each]}


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (None, "answered"),
        (lambda: Undecodable("it is damaged"), "refused"),
        (lambda: DeadlineUnreachable("the line is too long"), "refused"),
        (lambda: DeadlineExceeded("it took too long"), "failed"),
        (lambda: InferenceFailed("it broke"), "failed"),
        (lambda: ZeroDivisionError("nobody foresaw it"), "failed"),
    ],
)
async def test_each_ending_has_its_time(espresso: bytes, error: Callable[[], Exception] | None, ended: str) -> None:
    metrics = Metrics()
    service = a_service(_Engine(error and error()), metrics)
    question = Question("id", espresso, (), 1, False, Deadline.after(30), time.monotonic())
    answering = asyncio.create_task(service.answer(question))
    await asyncio.wait([answering])
    assert (answering.exception() is None) == (error is None)
    ((how, (count, seconds)),) = _times(metrics).items()
    assert (how, count) == (ended, 1)
    assert seconds >= _SECONDS


@pytest.mark.parametrize(("seconds", "ended"), [(30, "cancelled"), (_SECONDS / 10, "failed")])
async def test_who_goes_away_has_waited_and_a_call_of_grpc_ends_so_at_its_deadline(
    espresso: bytes, seconds: float, ended: str
) -> None:
    metrics = Metrics()
    question = Question("id", espresso, (), 1, False, Deadline.after(seconds), time.monotonic())
    answering = asyncio.create_task(a_service(_Engine(), metrics).answer(question))
    await asyncio.sleep(_SECONDS / 5)
    answering.cancel()
    await asyncio.wait([answering])
    assert [(how, count) for how, (count, _) in _times(metrics).items()] == [(ended, 1)]


async def test_an_image_that_is_refused_from_its_header_counts_too() -> None:
    metrics = Metrics()
    question = Question("id", b"no image", (), 1, False, Deadline.after(30), time.monotonic())
    with pytest.raises(FoveaError):
        await a_service(_Engine(), metrics).answer(question)
    assert list(_times(metrics)) == ["refused"]
