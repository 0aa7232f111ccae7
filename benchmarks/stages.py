"""What each model did inside Triton while a line was measured, by Triton's own statistics.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md: `inference_stats`
count requests, each with the whole time of the batch it was in; `batch_stats` count executions, by batch size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import psutil

from benchmarks.errors import ServerNotReady
from benchmarks.processes import tree

PREPROCESS, NETWORK = "preprocess_224", "efficientnet_lite0"
MODELS = (PREPROCESS, NETWORK)
_BACKEND = "triton_python_backend_stub"


@dataclass(frozen=True)
class Stage:
    """One model during one line.

    images, batch    how many, and how many an execution had on average
    queue_ms         a request's wait for its turn
    input_ms, infer_ms, output_ms   an image's share of an execution: taking tensors in, the work, giving them back
    cpu_ms           of the model's own processes, an image; None where the server's pid is not known
    """

    images: int
    batch: float
    queue_ms: float
    input_ms: float
    infer_ms: float
    output_ms: float
    cpu_ms: float | None

    @property
    def busy_ms(self) -> float:
        """How long the model is occupied, an image."""
        return self.input_ms + self.infer_ms + self.output_ms


class StageClock:
    """Looks at Triton's statistics before and after the `with` block; `stages` is there afterwards, by model."""

    stages: Mapping[str, Stage]

    def __init__(self, triton: str | None, pid: int | None) -> None:
        self._triton = triton
        self._pid = pid

    def __enter__(self) -> StageClock:
        self._before = statistics(self._triton)
        self._cpu = _cpu_seconds(self._pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stages = {}
        if kind is not None:
            return
        cpu = _cpu_seconds(self._pid)
        for model, after in statistics(self._triton).items():
            spent = cpu[model] - self._cpu.get(model, 0.0) if model in cpu else None
            if stage := between(self._before[model], after, spent):
                self.stages = {**self.stages, model: stage}


def statistics(triton: str | None) -> dict[str, Mapping[str, Any]]:
    """By model; nothing where Triton's port is not known."""
    if triton is None:
        return {}
    import tritonclient.grpc

    try:
        client = tritonclient.grpc.InferenceServerClient(triton)
        return {
            model: client.get_inference_statistics(model, client_timeout=10, as_json=True)["model_stats"][0]
            for model in MODELS
        }
    except tritonclient.grpc.InferenceServerException as error:
        raise ServerNotReady(
            f"Triton does not answer on {triton}: {error.message()}", "start it with `fovea serve`"
        ) from error


def between(before: Mapping[str, Any], after: Mapping[str, Any], cpu_seconds: float | None) -> Stage | None:
    """The stage between two statistics; None where it had no image."""
    images = _count(after, "inference_count") - _count(before, "inference_count")
    executions = _count(after, "execution_count") - _count(before, "execution_count")
    if images <= 0 or executions <= 0:
        return None
    queued = _queue(after)[0] - _queue(before)[0]
    spent = {
        part: (_spent(after, part) - _spent(before, part)) / images / 1e6
        for part in ("compute_input", "compute_infer", "compute_output")
    }
    return Stage(
        images,
        round(images / executions, 2),
        round((_queue(after)[1] - _queue(before)[1]) / max(queued, 1) / 1e6, 3),
        round(spent["compute_input"], 3),
        round(spent["compute_infer"], 3),
        round(spent["compute_output"], 3),
        None if cpu_seconds is None else round(1000 * cpu_seconds / images, 3),
    )


def combined(rounds: Sequence[Mapping[str, Stage]]) -> dict[str, Stage]:
    """The stages of several rounds as one, by model: each counts by its images."""
    return {model: _mean([each[model] for each in rounds if model in each]) for model in rounds[0]}


def _mean(stages: Sequence[Stage]) -> Stage:
    images = sum(stage.images for stage in stages)

    def of(number: Callable[[Stage], float]) -> float:
        return round(sum(number(stage) * stage.images for stage in stages) / images, 3)

    return Stage(
        images,
        # Executions add up, batches do not.
        round(images / sum(stage.images / stage.batch for stage in stages), 2),
        of(lambda stage: stage.queue_ms),
        of(lambda stage: stage.input_ms),
        of(lambda stage: stage.infer_ms),
        of(lambda stage: stage.output_ms),
        None if any(stage.cpu_ms is None for stage in stages) else of(lambda stage: stage.cpu_ms or 0.0),
    )


def _count(statistics: Mapping[str, Any], name: str) -> int:
    return int(statistics.get(name, 0))


def _queue(statistics: Mapping[str, Any]) -> tuple[int, int]:
    """Requests, and nanoseconds that they waited."""
    queue = statistics.get("inference_stats", {}).get("queue", {})
    return _count(queue, "count"), _count(queue, "ns")


def _spent(statistics: Mapping[str, Any], part: str) -> int:
    """Nanoseconds of all executions."""
    return sum(_count(batch.get(part, {}), "ns") for batch in statistics.get("batch_stats", ()))


def _cpu_seconds(pid: int | None) -> dict[str, float]:
    """Of each model's Python backend processes; nothing where the pid is not known."""
    spent: dict[str, float] = {}
    for process in tree(pid) if pid else ():
        with contextlib.suppress(psutil.NoSuchProcess):
            words = " ".join(process.cmdline())
            times = process.cpu_times()
            for model in MODELS:
                if _BACKEND in words and f"/{model}/" in words:
                    spent[model] = spent.get(model, 0.0) + times.user + times.system
    return spent
