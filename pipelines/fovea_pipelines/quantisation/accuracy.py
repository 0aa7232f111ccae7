"""What a model is worth in each precision, on images it was not calibrated on."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fovea_pipelines import cpu
from fovea_pipelines.errors import PipelineError
from fovea_pipelines.openvino_engine import OpenVinoEngine
from fovea_pipelines.package import ModelPackage
from fovea_pipelines.parity import corpus
from fovea_pipelines.parity.executors import DaliCpu

Pixels = NDArray[np.uint8]


class BadClasses(PipelineError):
    """A `labels.csv` that cannot be read, or that is not about this model's classes."""


@dataclass(frozen=True)
class Photographs:
    """`pixels` as they are served; `classes` is what `labels.csv` in their folder says of each, None without one."""

    pixels: list[Pixels]
    classes: list[int] | None

    @classmethod
    def of(cls, folder: Path, package: ModelPackage, *, classed: bool = True) -> Photographs:
        """All images of a folder that can be decoded. `labels.csv` has the columns `file` and `class_index`; without
        `classed` it is not looked at. Raises BadClasses, and PipelineError for a file that cannot be read."""
        said = _classes(folder, len(package.labels)) if classed else None
        executor, pixels, classes = DaliCpu(package.contract), [], []
        for path in corpus.files(folder):
            name = str(path.relative_to(folder))
            (decoded,) = executor([_content(path)])
            if isinstance(decoded, Exception) or (said is not None and name not in said):
                continue
            pixels.append(decoded)
            classes.append(said[name] if said is not None else 0)
        return cls(pixels, classes if said is not None else None)

    def every_other(self, first: int) -> Photographs:
        return Photographs(self.pixels[first::2], None if self.classes is None else self.classes[first::2])


def measure(models: Mapping[str, Path], photographs: Photographs) -> dict[str, dict[str, Any]]:
    """The [precisions] of a package: top-1 and top-5 of each model, by precision, as fractions.

    Without classes, agreement with f32 stands in for both: whoever agrees with it on 99% loses 1 point at most.
    """
    scores = {precision: _scores(model, precision, photographs.pixels) for precision, model in models.items()}
    said = photographs.classes
    truth = scores["f32"].argmax(axis=1).tolist() if said is None else said
    facts = {"images": len(photographs.pixels), "against": "agreement with f32" if said is None else "labels"}
    return {precision: {**_accuracy(each, truth), **facts} for precision, each in scores.items()}


def _scores(model: Path, precision: str, pixels: Sequence[Pixels]) -> NDArray[np.float32]:
    engine = OpenVinoEngine(model, precision, streams=cpu.available())
    if not engine.classifies:
        raise PipelineError("a network without classes has no accuracy to compare precisions by")
    return np.stack([outputs.scores for outputs in engine.run(pixels) if outputs.scores is not None])


def _accuracy(scores: NDArray[np.float32], truth: Sequence[int]) -> dict[str, float]:
    best = np.argsort(-scores, axis=1)
    top_5 = np.mean([wanted in row[:5] for wanted, row in zip(truth, best, strict=True)])
    return {"top_1": round(float(np.mean(best[:, 0] == truth)), 4), "top_5": round(float(top_5), 4)}


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PipelineError(f"{path} cannot be read: {error.strerror}") from error


def _classes(folder: Path, labels: int) -> dict[str, int] | None:
    """What `labels.csv` says, by file; each one of the model's so many labels. None where there is no such file."""
    path = folder / "labels.csv"
    if not path.is_file():
        return None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            said = {row["file"]: int(row["class_index"]) for row in csv.DictReader(file)}
    # A short row has None for what it lacks: a TypeError.
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise BadClasses(
            f"{path} does not say the classes: {error}", "it needs the columns file, class_index"
        ) from error
    for name, index in said.items():
        if not 0 <= index < labels:
            raise BadClasses(
                f"{path}: {name} has the class_index {index}; the model has {labels:,} labels, 0 to {labels - 1:,}",
                "class_index counts the model's own labels, from 0",
            )
    return said
