"""Whether the steps of an ensemble fit each other, and whether they hand over more bytes than they need to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from tritonclient.grpc.model_config_pb2 import DataType, ModelEnsembling

from fovea_server.doctor import completion
from fovea_server.doctor.finding import Finding
from fovea_server.doctor.reading import Model, Repository, type_name

_BYTES = {DataType.TYPE_FP16: 2, DataType.TYPE_BF16: 2, DataType.TYPE_FP32: 4, DataType.TYPE_FP64: 8}
_SMALLEST_PICTURE = 16  # pixels a side


@dataclass(frozen=True)
class Tensor:
    """What is known of a tensor at one end: whose it is, its type, and its shape with the batch.

    Where Triton completes the configuration, type and shape may be None, and a batch may yet come before the shape.
    """

    owner: str
    name: str
    kind: int | None = None
    shape: tuple[int, ...] | None = None
    may_batch: bool = False

    def __str__(self) -> str:
        kind = "" if self.kind is None else type_name(self.kind).removeprefix("TYPE_")
        return f"{kind}{'' if self.shape is None else list(self.shape)}"

    def fits(self, other: Tensor) -> bool:
        """-1 fits every length, and what is not known fits everything."""
        if None not in (self.kind, other.kind) and self.kind != other.kind:
            return False
        mine, its = self._shapes(), other._shapes()
        return not mine or not its or any(_same(one, another) for one in mine for another in its)

    def _shapes(self) -> list[tuple[int, ...]]:
        if self.shape is None:
            return []
        return [self.shape, (-1, *self.shape)] if self.may_batch else [self.shape]


def _same(one: tuple[int, ...], another: tuple[int, ...]) -> bool:
    return len(one) == len(another) and all(-1 in pair or pair[0] == pair[1] for pair in zip(one, another, strict=True))


def examine(repository: Repository) -> Iterator[Finding]:
    for model in repository.models.values():
        if model.is_ensemble:
            yield from _Ensemble(model, repository).findings()


def _tensors(model: Model, which: str) -> dict[str, Tensor]:
    """Those that the configuration states."""
    batch = (-1,) if model.config.max_batch_size > 0 else ()
    may_batch, is_open = not batch and completion.leaves_batch_open(model), completion.fills_in(model)
    return {
        each.name: Tensor(
            model.name,
            each.name,
            None if is_open and each.data_type == DataType.TYPE_INVALID else each.data_type,
            None if is_open and not each.dims else (*batch, *each.dims),
            may_batch,
        )
        for each in getattr(model.config, which)
    }


class _Ensemble:
    """One ensemble, walked from step to step; `_made` are its tensors so far, with who made them."""

    def __init__(self, model: Model, repository: Repository) -> None:
        self._model = model
        self._models = repository.models
        self._unconfigured = repository.unconfigured
        self._steps = list(model.config.ensemble_scheduling.step)
        self._given = _tensors(model, "input")

    def findings(self) -> Iterator[Finding]:
        made = dict(self._given)
        for step in self._steps:
            if (stage := self._models.get(step.model_name)) is not None:
                yield from self._names(step, stage)
                yield from self._batch(stage)
            elif step.model_name not in self._unconfigured:
                yield self._wrong(
                    step.model_name,
                    f"step {step.model_name} is not in the repository",
                    "The ensemble cannot be loaded without it.",
                    "add the model, or take the step out",
                )
            made |= dict(self._ends(step.model_name, "output", step.output_map))
        yield from self._deliveries(made)
        yield from self._handed_over(made)

    def _ends(self, name: str, which: str, mapped: Mapping[str, str]) -> Iterator[tuple[str, Tensor]]:
        """The ensemble's tensors that a step takes or makes, each as its model states it."""
        stage = self._models.get(name)
        stated = _tensors(stage, which) if stage else {}
        is_open = completion.leaves_open(stage, which) if stage else name in self._unconfigured
        for inside, outside in mapped.items():
            if inside in stated or is_open:
                yield outside, stated.get(inside, Tensor(name, inside))

    def _names(self, step: ModelEnsembling.Step, stage: Model) -> Iterator[Finding]:
        """Tensors that are mapped and not there, and inputs that are there and not mapped."""
        optional = {each.name for each in stage.config.input if each.optional}
        for which, mapped in (("input", step.input_map), ("output", step.output_map)):
            if completion.leaves_open(stage, which):
                continue
            known = _tensors(stage, which)
            for name in sorted(set(mapped) - set(known)):
                yield self._wrong(
                    stage.name,
                    f"{stage.name} has no {which} {name}",
                    f"The step maps a tensor that the model does not have; it has {', '.join(known) or 'none'}.",
                    f'{which}_map {{ key: "{next(iter(known), "...")}" value: "{mapped[name]}" }}',
                )
        for name in sorted(set(_tensors(stage, "input")) - set(step.input_map) - optional):
            yield self._wrong(
                stage.name,
                f"input {name} of {stage.name} gets nothing",
                "Triton refuses an ensemble that leaves an input out.",
                f'input_map {{ key: "{name}" value: "..." }}',
            )

    def _batch(self, stage: Model) -> Iterator[Finding]:
        whole, part = self._model.config.max_batch_size, stage.config.max_batch_size
        if whole > part and not completion.leaves_batch_open(stage):
            yield self._wrong(
                stage.name,
                f"max_batch_size is {whole}, and {stage.name} takes {part}",
                "Triton refuses an ensemble that takes larger batches than one of its models.",
                f"max_batch_size: {part}",
                r"max_batch_size",
            )

    def _deliveries(self, made: Mapping[str, Tensor]) -> Iterator[Finding]:
        """Each tensor against what its readers want."""
        for tensor, reader in self._readings():
            source = made.get(tensor)
            if source is None:
                yield self._wrong(
                    tensor,
                    f"nothing makes the tensor {tensor}",
                    f"{reader.owner} reads it, and it is neither an input nor the output of a step.",
                    f'output_map {{ key: "..." value: "{tensor}" }}',
                )
            elif not source.fits(reader):
                yield self._wrong(
                    tensor,
                    f"{tensor} is {source} where it is made and {reader} where it is read",
                    f"{source.owner} and {reader.owner} do not agree, so Triton will not load the ensemble.",
                    f"give {source.owner}.{source.name} and {reader.owner}.{reader.name} one type and shape",
                )

    def _readings(self) -> Iterator[tuple[str, Tensor]]:
        for step in self._steps:
            yield from self._ends(step.model_name, "input", step.input_map)
        yield from _tensors(self._model, "output").items()

    def _handed_over(self, made: Mapping[str, Tensor]) -> Iterator[Finding]:
        """Pictures that go from step to step as floats."""
        outputs = set(_tensors(self._model, "output"))
        read = {tensor: reader for tensor, reader in self._readings() if tensor not in outputs | set(self._given)}
        for tensor, reader in read.items():
            source = made.get(tensor)
            if source is not None and source.kind in _BYTES and (values := _picture(source.shape or ())):
                size = values * _BYTES[source.kind]
                yield Finding(
                    "warning",
                    "float-pixels",
                    self._model.name,
                    self._model.place,
                    f"{tensor} goes from {source.owner} to {reader.owner} as {source}",
                    f"Each picture is {size:,} bytes between the stages; as UINT8 it is {values:,}, and the network's "
                    "first node can normalise it.",
                    tuple(_as_bytes(each) for each in (source, reader) if each.shape),
                    self._model.line(rf'value\s*:\s*"{re.escape(tensor)}"'),
                )

    def _wrong(self, about: str, what: str, why: str, do: str, pattern: str | None = None) -> Finding:
        line = self._model.line(pattern or rf'"{re.escape(about)}"')
        return Finding("error", "ensemble", self._model.name, self._model.place, what, why, (do,), line)


def _as_bytes(tensor: Tensor) -> str:
    dims = ", ".join(map(str, (tensor.shape or ())[-3:]))
    return f'{{ name: "{tensor.name}" data_type: TYPE_UINT8 dims: [ {dims} ] }}   # of {tensor.owner}'


def _picture(shape: tuple[int, ...]) -> int:
    """How many values a picture of this shape, with or without a batch, has; 0 where it is none."""
    sides = shape[-3:]
    if len(sides) != 3 or min(sides) < 1:
        return 0
    channels_last = sides[2] in (1, 3) and min(sides[:2]) >= _SMALLEST_PICTURE
    channels_first = sides[0] in (1, 3) and min(sides[1:]) >= _SMALLEST_PICTURE
    return prod(sides) if channels_last or channels_first else 0
