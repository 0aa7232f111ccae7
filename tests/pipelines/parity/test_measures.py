"""The measures, on numbers small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fovea_pipelines.parity import measures


def _softmax(logits: list[float]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    powers = np.exp(np.array(logits))
    return (powers / powers.sum()).astype(np.float32)


def test_pixels_differ_by_mean_99th_percentile_and_maximum() -> None:
    a = np.zeros((10, 10, 3), np.uint8)
    b = a.copy()
    b[0, 0] = (30, 60, 210)
    difference = measures.pixel_difference(a, b)
    assert (difference.mean, difference.p99, difference.maximum) == (1.0, 0.0, 210.0)
    b[0, 1] = 10
    assert measures.pixel_difference(a, b).p99 == 10
    assert measures.pixel_difference(b, a) == measures.pixel_difference(a, b)


def test_the_percentile_is_the_one_of_sorting() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 50, 40, 3), dtype=np.uint8)
    expected = np.percentile(np.abs(a.astype(int) - b), 99, method="inverted_cdf")
    assert measures.pixel_difference(a, b).p99 == expected


def test_pixels_of_other_shapes_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        measures.pixel_difference(np.zeros((2, 3, 3), np.uint8), np.zeros((3, 2, 3), np.uint8))


def test_logits_come_back_from_scores_but_for_their_mean() -> None:
    np.testing.assert_allclose(measures.logits(_softmax([3.0, 1.0, -1.0])), [2.0, 0.0, -2.0], atol=1e-6)


def test_a_logit_that_moved_is_the_drift_and_a_shift_of_all_is_none() -> None:
    a = _softmax([3.0, 1.0, -4.0])
    assert measures.logit_drift(a, _softmax([8.0, 6.0, 1.0])) == pytest.approx(0, abs=1e-5)
    assert measures.logit_drift(a, _softmax([3.0, 1.0, -1.0])) == pytest.approx(2, abs=1e-5)


def test_scores_of_zero_do_not_make_the_drift_infinite() -> None:
    assert measures.logit_drift(np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)) < 100


def test_agreement_is_on_the_best_class_and_on_how_many_of_the_five_best() -> None:
    a = np.arange(10, dtype=np.float32)
    b = a.copy()
    b[[9, 8]] = b[[8, 9]]
    assert (measures.top_1_agrees(a, a), measures.top_1_agrees(a, b)) == (True, False)
    assert measures.top_5_agreement(a, b) == 1.0
    assert measures.top_5_agreement(a, -a) == 0.0
    b[0] = 99
    assert measures.top_5_agreement(a, b) == 0.8
    assert measures.top_5_agreement(a[:3], -a[:3]) == 1.0


def test_embeddings_drift_by_their_direction_alone() -> None:
    a, b = np.array([1.0, 0.0], np.float32), np.array([0.0, 2.0], np.float32)
    assert measures.embedding_drift(a, 3 * a) == pytest.approx(0, abs=1e-7)
    assert measures.embedding_drift(a, b) == pytest.approx(1)
    assert measures.embedding_drift(0 * a, 0 * a) == 0


def test_what_is_not_finite_is_infinitely_far_off() -> None:
    fine, spoilt = np.array([0.5, 0.5], np.float32), np.array([np.nan, 0.5], np.float32)
    assert measures.embedding_drift(fine, spoilt) == np.inf
    assert measures.logit_drift(fine, spoilt) == np.inf
