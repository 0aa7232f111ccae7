"""Which stage is slower inside Triton than alone, and what it likely is: one sentence a stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.lines import Line
from benchmarks.rows import NETWORK as NETWORK_ALONE
from benchmarks.rows import PREPROCESSING as PREPROCESSING_ALONE
from benchmarks.rows import TRITON
from benchmarks.stages import NETWORK, PREPROCESS, Stage

SLOWER = 1.10
_ALONE = {PREPROCESS: PREPROCESSING_ALONE, NETWORK: NETWORK_ALONE}
_SMALL = 0.75  # of the batch that the stage alone is given; below it the threads of a batch have idle ends
_COPIES = 0.10  # of a stage's time


def findings(lines: Sequence[Line]) -> list[str]:
    """Of the Triton line with the most images/s, against the stages alone; empty where either was not measured."""
    served = [line for line in lines if line.path == TRITON and line.stages]
    if not served:
        return []
    fastest = max(served, key=lambda line: line.images_per_second)
    alone = {line.path: line for line in lines}
    return list(_sentences(fastest, alone))


def _sentences(inside: Line, alone: Mapping[str, Line]) -> Iterator[str]:
    for model, stage in inside.stages.items():
        if by_itself := alone.get(_ALONE[model]):
            yield sentence(model, stage, by_itself, inside.load)


def sentence(model: str, stage: Stage, alone: Line, load: str) -> str:
    """The stage's time an image inside Triton against its time alone, and the likely cause where it is slower."""
    by_itself = 1000 / alone.images_per_second
    ratio = stage.busy_ms / by_itself
    times = f"{stage.busy_ms:.2f} ms an image inside Triton ({load}), {by_itself:.2f} ms alone"
    if ratio <= SLOWER:
        return f"{model}: {times}; not slower by more than {SLOWER - 1:.0%}."
    return f"{model} is {ratio:.2f} times slower inside Triton: {times}. Likely: {'; '.join(_causes(stage, alone))}."


def _causes(stage: Stage, alone: Line) -> Iterator[str]:
    if stage.batch < _SMALL * alone.concurrency:
        yield f"batches of {stage.batch:.1f} formed, alone it gets {alone.concurrency}"
    copies = stage.input_ms + stage.output_ms
    if copies > _COPIES * stage.busy_ms:
        yield f"{copies:.2f} ms of it are tensors going in and out"
    if stage.cpu_ms and alone.cpu_ms:
        if stage.cpu_ms > SLOWER * alone.cpu_ms:
            yield f"it takes {stage.cpu_ms:.2f} CPU-ms an image instead of {alone.cpu_ms:.2f}"
        else:
            yield (
                f"its threads wait for cores that the other stage and the server use at the same time "
                f"({stage.cpu_ms:.2f} CPU-ms an image, alone {alone.cpu_ms:.2f})"
            )
    if stage.queue_ms > stage.busy_ms * stage.batch:
        yield f"a request waits {stage.queue_ms:.1f} ms for its turn, so it is never idle"
