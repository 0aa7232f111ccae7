"""What the model did inside Triton while a line was measured, by Triton's own statistics.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md: `inference_stats`
count requests, each with the whole time of the batch it was in; `batch_stats` count executions, by batch size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import psutil

from benchmarks.errors import ServerNotReady
from benchmarks.processes import tree

MODEL = "classify_efficientnet_lite0"  # decoding and network, in one process or several
_BACKEND = "triton_python_backend_stub"


@dataclass(frozen=True)
class Stage:
    """One model during one line.

    images, batch    how many, and how many an execution had on average
    queue_ms         a request's wait for its turn
    input_ms, infer_ms, output_ms   an image's share of an execution: taking tensors in, the work, giving them back
    cpu_ms           of the model's own processes, an image; None where the server's pid is not known
    instances        that work at the same time
    """

    images: int
    batch: float
    queue_ms: float
    input_ms: float
    infer_ms: float
    output_ms: float
    cpu_ms: float | None
    instances: int = 1

    @property
    def busy_ms(self) -> float:
        """How long the model is occupied, an image."""
        return (self.input_ms + self.infer_ms + self.output_ms) / self.instances


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
        if kind is not None or self._triton is None:
            return
        spent = _cpu_seconds(self._pid) - self._cpu if self._pid else None
        if stage := between(self._before, statistics(self._triton), spent, instances(configuration(self._triton)) or 1):
            self.stages = {MODEL: stage}


def statistics(triton: str | None) -> Mapping[str, Any]:
    """Nothing where Triton's port is not known."""
    if triton is None:
        return {}
    with asked(triton) as client:
        said: Mapping[str, Any] = client.get_inference_statistics(MODEL, client_timeout=10, as_json=True)
        return said["model_stats"][0]


def configuration(triton: str) -> Any:
    """The model's, as Triton says it."""
    with asked(triton) as client:
        return client.get_model_config(MODEL, client_timeout=10).config


def instances(config: Any) -> int:
    return sum(group.count for group in config.instance_group)


@contextlib.contextmanager
def asked(triton: str) -> Iterator[Any]:
    """A client of Triton's gRPC port. Raises ServerNotReady where it does not answer."""
    import tritonclient.grpc

    try:
        yield tritonclient.grpc.InferenceServerClient(triton)
    except tritonclient.grpc.InferenceServerException as error:
        raise ServerNotReady(
            f"Triton does not answer on {triton}: {error.message()}", "start it with `fovea serve`"
        ) from error


def between(
    before: Mapping[str, Any], after: Mapping[str, Any], cpu_seconds: float | None, instances: int = 1
) -> Stage | None:
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
        instances,
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
        stages[0].instances,
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


def _cpu_seconds(pid: int | None) -> float:
    """Of the Python backend's processes that run the model, or its stages; 0 where the pid is not known."""
    spent = 0.0
    for process in tree(pid) if pid else ():
        with contextlib.suppress(psutil.NoSuchProcess):
            if _BACKEND in " ".join(process.cmdline()):
                times = process.cpu_times()
                spent += times.user + times.system
    return spent
