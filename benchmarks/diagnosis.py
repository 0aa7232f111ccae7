"""Whether the work is slower inside Triton than alone, and what it likely is: one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.lines import Line
from benchmarks.rows import BARE, TRITON
from benchmarks.stages import Stage

SLOWER = 1.10
_SMALL = 0.75  # of the batch that the bare loop is given; below it the threads of a batch have idle ends
_COPIES = 0.10  # of the time


def findings(lines: Sequence[Line]) -> list[str]:
    """Of the Triton line with the most images/s, against the bare loop; empty where either was not measured."""
    served = [line for line in lines if line.path == TRITON and line.stages]
    if not served:
        return []
    fastest = max(served, key=lambda line: line.images_per_second)
    bare = [line for line in lines if line.path == BARE]
    return [sentence(model, stage, alone, fastest.load) for alone in bare for model, stage in fastest.stages.items()]


def sentence(model: str, stage: Stage, alone: Line, load: str) -> str:
    """The model's time an image inside Triton against that of the bare loop, and the likely cause where it is more."""
    by_itself = 1000 / alone.images_per_second
    ratio = stage.busy_ms / by_itself
    times = f"{stage.busy_ms:.2f} ms an image inside Triton ({load}), {by_itself:.2f} ms alone"
    if ratio <= SLOWER:
        return f"{model}: {times}; not slower by more than {SLOWER - 1:.0%}."
    return f"{model} is {ratio:.2f} times slower inside Triton: {times}. Likely: {'; '.join(_causes(stage, alone))}."


def _causes(stage: Stage, alone: Line) -> Iterator[str]:
    if stage.batch < _SMALL * alone.concurrency:
        yield f"batches of {stage.batch:.1f} formed, alone it gets {alone.concurrency}"
    copies = (stage.input_ms + stage.output_ms) / stage.instances
    if copies > _COPIES * stage.busy_ms:
        yield f"{copies:.2f} ms of it are tensors going in and out"
    if stage.cpu_ms and alone.cpu_ms:
        if stage.cpu_ms > SLOWER * alone.cpu_ms:
            yield f"it takes {stage.cpu_ms:.2f} CPU-ms an image instead of {alone.cpu_ms:.2f}"
        else:
            yield (
                f"its threads wait for cores that the server uses at the same time "
                f"({stage.cpu_ms:.2f} CPU-ms an image, alone {alone.cpu_ms:.2f})"
            )
    if stage.queue_ms > stage.busy_ms * stage.batch * stage.instances:
        yield f"a request waits {stage.queue_ms:.1f} ms for its turn, so it is never idle"
