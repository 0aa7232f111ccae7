"""Work that is slower inside Triton than alone is named, with what it likely is."""

from __future__ import annotations

import dataclasses

from benchmarks.diagnosis import findings, sentence
from benchmarks.lines import Line, lines
from benchmarks.rows import BARE, TRITON
from tests.benchmarks.made_up import row, stage

_MODEL = "classify_efficientnet_lite0"


def _alone(images_per_second: int, cpu_seconds: float) -> Line:
    (line,) = lines([row(BARE, images_per_second, cpu_seconds)])
    return line


def test_a_stage_that_is_as_fast_is_said_to_be() -> None:
    said = sentence(_MODEL, stage(infer_ms=2.05), _alone(500, 1.0), "32 at once")
    assert said == f"{_MODEL}: 2.15 ms an image inside Triton (32 at once), 2.00 ms alone; not slower by more than 10%."


def test_small_batches_are_named() -> None:
    said = sentence(_MODEL, stage(batch=2.5, infer_ms=3.9), _alone(500, 1.0), "8 at once")
    assert said.startswith(f"{_MODEL} is 2.00 times slower inside Triton")
    assert "batches of 2.5 formed, alone it gets 8" in said


def test_threads_that_wait_for_cores_are_told_from_threads_that_do_more() -> None:
    alone = _alone(500, 1.0)  # 2 CPU-ms an image
    waiting = sentence(_MODEL, stage(infer_ms=4.0, cpu_ms=2.1), alone, "32 at once")
    working = sentence(_MODEL, stage(infer_ms=4.0, cpu_ms=3.0), alone, "32 at once")
    assert "its threads wait for cores" in waiting
    assert "it takes 3.00 CPU-ms an image instead of 2.00" in working


def test_copies_and_the_queue_are_named() -> None:
    slow = dataclasses.replace(stage(infer_ms=3.0), output_ms=1.0, queue_ms=80.0)
    said = sentence(_MODEL, slow, _alone(500, 1.0), "32 at once")
    assert "1.05 ms of it are tensors going in and out" in said
    assert "a request waits 80.0 ms for its turn" in said


def test_instances_that_work_side_by_side_are_occupied_by_turns() -> None:
    two = dataclasses.replace(stage(infer_ms=4.0), instances=2)
    assert sentence(_MODEL, two, _alone(500, 1.0), "32 at once").startswith(f"{_MODEL}: 2.05 ms an image")


def test_the_triton_line_with_the_most_images_is_looked_at() -> None:
    rows = [
        row(BARE, 400),
        row(TRITON, 100, concurrency=8, stages={_MODEL: stage(infer_ms=90.0)}),
        row(TRITON, 300, concurrency=32, stages={_MODEL: stage(infer_ms=9.0)}),
    ]
    (said,) = findings(lines(rows))
    assert said.startswith(f"{_MODEL} is 3.64 times slower inside Triton: 9.10 ms an image inside Triton (32 at once)")


def test_without_the_bare_loop_nothing_is_found() -> None:
    assert findings(lines([row(TRITON, 100, stages={_MODEL: stage()})])) == []
    assert findings([]) == []
