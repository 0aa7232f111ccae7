"""Give a package an 8-bit form: calibrate on half of the images, measure every precision on the other half, record.

Until all of that is done nothing of the package is changed, and its description is changed last.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import tomli_w

from fovea_pipelines import precision
from fovea_pipelines.build import serialised
from fovea_pipelines.errors import PipelineError
from fovea_pipelines.package import ModelPackage, sha256_of
from fovea_pipelines.quantisation import graph
from fovea_pipelines.quantisation.accuracy import Photographs, measure
from fovea_pipelines.quantisation.calibrate import calibrate

_LEAST_IMAGES = 128
_RANGES = "quantisation.npz"
_GRAPH = "model.int8.onnx"
# A table to its end; comments that stand before the next header are of the next.
_REPLACED = re.compile(
    r"^\[(?:artefacts\.int8|precisions\.\w+)\]\n(?:(?!\[).*\n)*?\n*(?=(?:#.*\n|\n)*(?:\[|\Z))", re.MULTILINE
)


def quantise(
    package: ModelPackage, images: Path, tell: Callable[[str], None] = lambda _: None
) -> dict[str, dict[str, Any]]:
    """Write the 8-bit graph and the ranges it is made of, and record both in `model.toml`, with what each precision is
    worth: the [precisions] that are recorded. The package is another one then. Raises a PipelineError."""
    if not package.labels:
        raise PipelineError(
            f"{package.name} only embeds; without classes there is no accuracy to compare precisions by",
            hint="serve it as it is",
        )
    package.onnx.check()
    try:
        # In the package's folder, so that moving a file to where it belongs is one step.
        with tempfile.TemporaryDirectory(prefix=".draft-", dir=package.folder) as drafts:
            return _quantised(package, images, Path(drafts), tell)
    except OSError as error:
        raise PipelineError(
            f"{error.filename or package.folder} cannot be written: {error.strerror}",
            hint="copy the model repository to a folder of yours and name it with --repository",
        ) from error


def _quantised(
    package: ModelPackage, images: Path, drafts: Path, tell: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    original = onnx.load(package.onnx.path)
    graph.check_opset(original)
    tell("decoding the images")
    photographs = Photographs.of(images, package)
    if (count := len(photographs.pixels)) < _LEAST_IMAGES:
        raise PipelineError(
            f"{images} has {count} images that can be used; it takes {_LEAST_IMAGES} or more",
            hint="half of them are calibrated on, half are measured on",
        )
    tell("calibrating")
    ranges = calibrate(original, photographs.every_other(0).pixels)
    ranges.write(drafts / _RANGES)
    (drafts / _GRAPH).write_bytes(serialised(graph.quantised(original, ranges)))
    tell("measuring each precision")
    models = dict.fromkeys(precision.native(), package.onnx.path) | {"int8": drafts / _GRAPH}
    measured = measure(models, photographs.every_other(1))
    _install(package, drafts, measured)
    return measured


def _install(package: ModelPackage, drafts: Path, measured: dict[str, dict[str, Any]]) -> None:
    """Put the drafts in their places, the description that names them last."""
    places = {_GRAPH: package.onnx.path.with_name(_GRAPH), _RANGES: package.folder / _RANGES}
    file = places[_GRAPH].relative_to(package.folder)
    artefact = {"file": str(file), "sha256": sha256_of(drafts / _GRAPH), "ranges": _RANGES}
    description = package.folder / "model.toml"
    text = recorded(description.read_text(encoding="utf-8"), artefact, measured)
    (drafts / description.name).write_text(text, encoding="utf-8")
    for name, place in {**places, description.name: description}.items():
        (drafts / name).replace(place)


def recorded(description: str, artefact: dict[str, str], precisions: dict[str, dict[str, Any]]) -> str:
    """A `model.toml` with these tables in the place of those it has; everything else, comments too, as it was."""
    tables = tomli_w.dumps({"artefacts": {"int8": artefact}, "precisions": precisions})
    return _REPLACED.sub("", description.rstrip() + "\n").rstrip() + "\n\n" + tables
