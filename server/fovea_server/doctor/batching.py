"""Whether requests can be merged into batches, and what waits while they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import DataType, ModelInput

from fovea_server.doctor import completion
from fovea_server.doctor.finding import Finding
from fovea_server.doctor.reading import Model, Repository, type_name


def examine(repository: Repository) -> Iterator[Finding]:
    for model in repository.models.values():
        if model.is_ensemble or model.config.HasField("sequence_batching"):
            continue
        if model.config.max_batch_size > 1:
            yield from _no_batcher(model)
            yield from _ragged(model)
        elif not _may_merge_yet(model):
            yield _no_batches(model)
        yield from _preferred(model)
        yield from _queue_policy(model)
    yield from _unbounded(repository)


def _may_merge_yet(model: Model) -> bool:
    """Whether its requests may be merged, or need not be, although the configuration states no batches."""
    decoupled = bool(model.config.model_transaction_policy.decoupled)
    is_completed = completion.completes(model) and completion.leaves_batch_open(model)
    return decoupled or completion.batches_itself(model) or is_completed


def _no_batches(model: Model) -> Finding:
    found = model.config.max_batch_size
    return Finding(
        "warning",
        "no-batches",
        model.name,
        model.place,
        f"max_batch_size is {found}",
        "Triton runs it once for every request; nothing is ever merged.",
        (
            "max_batch_size: 8",
            "dynamic_batching { max_queue_delay_microseconds: 500 }",
            "# and leave the batch dimension out of every dims",
        ),
        model.line(r"max_batch_size"),
    )


def _no_batcher(model: Model) -> Iterator[Finding]:
    if (
        model.config.HasField("dynamic_batching")
        or completion.adds_dynamic_batching(model)
        or completion.batches_itself(model)
    ):
        return
    yield Finding(
        "error",
        "no-dynamic-batching",
        model.name,
        model.place,
        "there is no dynamic_batching",
        f"It could take {model.config.max_batch_size} images at once, but Triton merges requests only where it is "
        "told to, so each runs alone.",
        ("dynamic_batching { max_queue_delay_microseconds: 500 }",),
        model.line(r"max_batch_size"),
    )


def _ragged(model: Model) -> Iterator[Finding]:
    for each in model.config.input:
        if each.allow_ragged_batch or -1 not in each.dims:
            continue
        line = model.line(rf'name\s*:\s*"{re.escape(each.name)}"')
        if each.data_type == DataType.TYPE_UINT8 and list(each.dims) == [-1]:
            yield Finding(
                "error",
                "no-ragged-batch",
                model.name,
                model.place,
                f"input {each.name} lacks allow_ragged_batch",
                "Two images hardly ever have the same number of bytes, and Triton merges only requests of equal shape: "
                f"instead of up to {model.config.max_batch_size} at once, images run one by one.",
                (_as_text(each),),
                line,
            )
        else:
            yield Finding(
                "note",
                "variable-shape",
                model.name,
                model.place,
                f"input {each.name} has a variable shape",
                "Triton merges only requests whose shapes are equal.",
                ("give it fixed dims, or allow_ragged_batch: true where the backend can take that",),
                line,
            )


def _as_text(each: ModelInput) -> str:
    dims = ", ".join(map(str, each.dims))
    kind = type_name(each.data_type)
    return f'{{ name: "{each.name}" data_type: {kind} dims: [ {dims} ] allow_ragged_batch: true }}'


def _preferred(model: Model) -> Iterator[Finding]:
    batcher = model.config.dynamic_batching
    if not batcher.preferred_batch_size or batcher.max_queue_delay_microseconds:
        return
    sizes = ", ".join(map(str, batcher.preferred_batch_size))
    yield Finding(
        "warning",
        "preferred-without-delay",
        model.name,
        model.place,
        f"preferred_batch_size is [ {sizes} ] with no queue delay",
        "With a delay of 0 nothing waits for a preferred size, so it only keeps larger batches from forming.",
        ("dynamic_batching { max_queue_delay_microseconds: 500 }", "# or leave preferred_batch_size out"),
        model.line(r"preferred_batch_size"),
    )


def _queue_policy(model: Model) -> Iterator[Finding]:
    batcher = model.config.dynamic_batching
    if batcher.HasField("default_queue_policy"):
        yield Finding(
            "warning",
            "queue-policy",
            model.name,
            model.place,
            "it has a default_queue_policy",
            "On Triton 2.51 any queue policy turns off the batcher's prefetching, and the last requests of each burst "
            "wait for its 500 ms timer: p99 of 8 to 32 callers was 500 to 1,000 ms with one and 40 to 190 ms without, "
            "with a quarter more images/s.",
            ("take default_queue_policy out, and bound what waits in front of Triton, as `fovea serve` does",),
            model.line(r"default_queue_policy"),
        )


def _unbounded(repository: Repository) -> Iterator[Finding]:
    """Models whose queues have no end, where no gateway of ours stands before them."""
    waiting = [model for model in repository.models.values() if _queues_without_end(model)]
    if repository.has_gateway or not waiting:
        return
    yield Finding(
        "note",
        "no-limit",
        ", ".join(model.name for model in waiting),
        waiting[0].place,
        f"nothing bounds what waits for {', '.join(model.name for model in waiting)}",
        "Triton's queue has no limit: under more load than it can bear every caller waits longer and longer, and "
        "memory grows with each waiting image.",
        (
            "bound the requests in front of Triton (a gateway, a proxy), or:",
            "dynamic_batching { default_queue_policy { max_queue_size: 256 } }",
            "# which on Triton 2.51 costs what the rule queue-policy says",
        ),
    )


def _queues_without_end(model: Model) -> bool:
    config = model.config
    has_policy = config.dynamic_batching.HasField("default_queue_policy")
    return not model.is_ensemble and config.max_batch_size > 0 and not has_policy
