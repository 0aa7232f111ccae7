"""A stage from two looks at Triton's statistics."""

from __future__ import annotations

from typing import Any

from benchmarks.stages import between


def _statistics(images: int, executions: int, queue_ns: int, batches: dict[int, tuple[int, int]]) -> dict[str, Any]:
    """As Triton answers, with numbers as text; `batches` are executions and nanoseconds by batch size."""
    return {
        "inference_count": str(images),
        "execution_count": str(executions),
        "inference_stats": {"queue": {"count": str(images), "ns": str(queue_ns)}},
        "batch_stats": [
            {"batch_size": str(size), "compute_infer": {"count": str(count), "ns": str(ns)}}
            for size, (count, ns) in batches.items()
        ],
    }


def test_an_images_share_is_of_the_executions_and_its_wait_is_of_the_requests() -> None:
    before = _statistics(10, 10, 1_000_000, {1: (10, 20_000_000)})
    after = _statistics(90, 20, 161_000_000, {1: (10, 20_000_000), 8: (10, 160_000_000)})
    stage = between(before, after, cpu_seconds=0.24)
    assert stage is not None
    assert (stage.images, stage.batch, stage.queue_ms, stage.infer_ms, stage.cpu_ms) == (80, 8.0, 2.0, 2.0, 3.0)
    assert stage.busy_ms == 2.0


def test_the_first_look_may_find_a_model_that_was_never_asked() -> None:
    stage = between({"name": "network"}, _statistics(4, 2, 0, {2: (2, 4_000_000)}), None)
    assert stage is not None
    assert (stage.batch, stage.infer_ms, stage.cpu_ms) == (2.0, 1.0, None)


def test_a_model_that_had_no_image_has_no_stage() -> None:
    same = _statistics(10, 10, 0, {1: (10, 20_000_000)})
    assert between(same, same, 0.1) is None
