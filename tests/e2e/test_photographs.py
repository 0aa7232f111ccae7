"""Real photographs through the whole served path: right labels, and the same ones alone and in a crowd."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from tests.conftest import Photograph
from tests.e2e.callers import Outcome, over_grpc, over_rest
from tests.e2e.served import Served


@pytest.fixture(scope="module")
def five_hundred(photographs: list[Photograph]) -> list[bytes]:
    """500 photographs: all there are, then the first of them again."""
    contents = [photo.content for photo in photographs]
    return (contents * 2)[:500]


@pytest.fixture(scope="module")
def one_at_a_time(server: Served, photographs: list[Photograph]) -> list[Outcome]:
    return asyncio.run(over_rest(server, [photo.content for photo in photographs], concurrency=1))


def test_top_1_and_top_5_are_what_the_model_is_known_for(
    photographs: list[Photograph], one_at_a_time: list[Outcome]
) -> None:
    top_1 = np.mean([o.labels[0] == p.class_index for o, p in zip(one_at_a_time, photographs, strict=True)])
    top_5 = np.mean([p.class_index in o.labels for o, p in zip(one_at_a_time, photographs, strict=True)])
    assert top_1 >= 0.87
    assert top_5 >= 0.96


async def test_500_at_32_at_once_over_rest_get_the_labels_they_get_alone(
    server: Served, five_hundred: list[bytes], one_at_a_time: list[Outcome]
) -> None:
    crowd = await over_rest(server, five_hundred, concurrency=32)
    assert crowd == (one_at_a_time * 2)[:500]


async def test_500_at_32_at_once_over_grpc_get_the_labels_they_get_alone(
    server: Served, five_hundred: list[bytes], one_at_a_time: list[Outcome]
) -> None:
    crowd = await over_grpc(server, five_hundred, concurrency=32)
    assert crowd == (one_at_a_time * 2)[:500]


async def test_damaged_images_among_good_ones_disturb_nobody(
    server: Served, photographs: list[Photograph], one_at_a_time: list[Outcome]
) -> None:
    contents = [photo.content for photo in photographs[:160]]
    damaged = {place: content[: len(content) // 2] for place, content in enumerate(contents) if place % 8 == 5}
    mixed = [damaged.get(place, content) for place, content in enumerate(contents)]
    for outcomes, reason in (
        (await over_rest(server, mixed, concurrency=32), "UNDECODABLE"),
        (await over_grpc(server, mixed, concurrency=32), "INVALID_ARGUMENT"),
    ):
        for place, outcome in enumerate(outcomes):
            expected = Outcome((), reason) if place in damaged else one_at_a_time[place]
            assert outcome == expected, place
