"""Triton's own statistics: how many images each model was asked about, in how many executions, and how long they
queued. Source: Triton's statistics extension (docs/protocol/extension_statistics.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_BUSY = 0.1  # of the time in the queue, from which on there was something to merge
_MERGING = 1.5  # images an execution from which on requests are said to merge


@dataclass(frozen=True)
class Counts:
    """Of one model, since it was loaded or between two readings. Times in seconds, summed over requests.

    batches     executions by the batch size they had
    """

    images: int = 0
    executions: int = 0
    queued: float = 0.0
    answered: float = 0.0
    batches: Mapping[int, int] = field(default_factory=dict)

    @property
    def mean_batch(self) -> float:
        return self.images / self.executions if self.executions else 0.0

    @property
    def queue_share(self) -> float:
        """Of the time that requests spent in the model."""
        return self.queued / self.answered if self.answered else 0.0

    @property
    def merge(self) -> bool:
        return self.mean_batch >= _MERGING

    def since(self, before: Counts) -> Counts:
        sizes = {size: count - before.batches.get(size, 0) for size, count in self.batches.items()}
        return Counts(
            self.images - before.images,
            self.executions - before.executions,
            self.queued - before.queued,
            self.answered - before.answered,
            {size: count for size, count in sizes.items() if count},
        )

    def to_mapping(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "executions": self.executions,
            "mean_batch": round(self.mean_batch, 2),
            "queue_share": round(self.queue_share, 3),
            "batches": {str(size): count for size, count in sorted(self.batches.items())},
        }


def read(answer: Any) -> dict[str, Counts]:
    """Counts by model of a ModelStatisticsResponse, versions summed."""
    found: dict[str, Counts] = {}
    for each in answer.model_stats:
        before = found.get(each.name, Counts())
        batches = dict(before.batches)
        for batch in each.batch_stats:
            batches[batch.batch_size] = batches.get(batch.batch_size, 0) + batch.compute_infer.count
        found[each.name] = Counts(
            before.images + each.inference_count,
            before.executions + each.execution_count,
            before.queued + each.inference_stats.queue.ns / 1e9,
            before.answered + each.inference_stats.success.ns / 1e9,
            batches,
        )
    return found


def why_not_merged(config: Any, counts: Counts) -> str:
    """Why a model's requests did not merge, by its configuration, else by what was counted."""
    if config.max_batch_size < 2:
        return f"its max_batch_size is {config.max_batch_size}"
    if not config.HasField("dynamic_batching"):
        return "it has no dynamic_batching"
    ragged = [each.name for each in config.input if -1 in each.dims and not each.allow_ragged_batch]
    if ragged:
        return f"its input {ragged[0]} lacks allow_ragged_batch, and images differ in size"
    instances = sum(group.count for group in config.instance_group) or 1
    if counts.queue_share >= _BUSY:
        return f"requests waited {counts.queue_share:.0%} of the time and still went one by one"
    waited = f"hardly anything waited ({counts.queue_share:.0%} of the time)"
    return f"{waited}: {instances} instances took requests as they came" if instances > 1 else waited
