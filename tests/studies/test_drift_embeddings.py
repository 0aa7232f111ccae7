"""A classifier tells embeddings apart where they were moved, and nowhere else."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from fovea_server.studies.drift import embeddings

FEATURES = 256


def _digests(count: int, seed: int = 0) -> list[str]:
    return [hashlib.sha256(f"{seed} {number}".encode()).hexdigest() for number in range(count)]


def _normal(seed: int, count: int = 300) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, FEATURES)).astype(np.float32)


def test_two_samples_of_one_population_are_not_told_apart() -> None:
    found = [
        embeddings.tell(_normal(seed), _normal(seed + 1000), _digests(300, seed), _digests(300, seed + 1000))
        for seed in range(60)
    ]
    assert np.mean([told.auc for told in found]) == pytest.approx(0.5, abs=0.02)
    assert np.mean([told.p_value < 0.05 for told in found]) < 0.15


def test_what_was_moved_is_found_with_more_features_than_images() -> None:
    before, now = _normal(1, 150), _normal(2, 150)
    now[:, :20] += 0.7
    told = embeddings.tell(before, now, _digests(150), _digests(150, 1))
    assert told.auc > 0.7
    assert told.p_value < 1e-4


def test_the_images_that_were_moved_are_the_newest() -> None:
    before, now = _normal(3, 400), _normal(4, 400)
    moved = set(range(0, 400, 5))
    now[sorted(moved), :20] += 2.0
    told = embeddings.tell(before, now, _digests(400), _digests(400, 1))
    assert len(moved & set(told.newest[:30])) >= 25


def test_the_same_images_again_are_not_told_apart() -> None:
    """Also not because it has learnt them by heart: whichever half an image is in, it is there in both windows."""
    images = _normal(5)
    assert embeddings.tell(images, images, _digests(300), _digests(300)).auc == pytest.approx(0.5)


def test_embeddings_that_are_all_alike_are_not_told_apart() -> None:
    alike = np.ones((200, FEATURES), np.float32)
    assert embeddings.tell(alike, alike, _digests(200), _digests(200, 1)).auc == 0.5


def test_shrinking_keeps_the_trace_and_makes_it_invertible() -> None:
    few = _normal(6, 20).astype(np.float64)
    covariance = few.T @ few / 20
    shrunk = embeddings.shrunk(covariance, 20)
    assert np.trace(shrunk) == pytest.approx(np.trace(covariance), rel=1e-5)
    assert np.linalg.eigvalsh(shrunk).min() > 0


def test_too_few_to_learn_from_are_refused() -> None:
    with pytest.raises(ValueError, match="too few images"):
        embeddings.tell(_normal(7, 9), _normal(8, 9), ["a0"] * 9, ["b0"] * 9)
