"""Record what a model answers to its golden image, so that it can be held to it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from fovea_pipelines import headers, reference
from fovea_pipelines.contract import Contract
from fovea_pipelines.errors import BadPackage
from fovea_pipelines.openvino_engine import OpenVinoEngine, Outputs

_CLEAR = 0.1  # by how much the best class must lead the second to be what is expected
_TOLERANCE, _LEAST_COSINE = 0.05, 0.99  # what another decoder and another precision may change


def record(image: Path, contract: Contract, model: Path, folder: Path) -> dict[str, Any]:
    """Copy the image into the model's folder; the [golden] table that says what must be answered to it.

    The best class where it is clear, else the direction of the embedding: a near tie may turn with any rounding.
    """
    content = image.read_bytes()
    try:
        kind = headers.read(content).format
        pixels = reference.pixels(content, contract)
    except (headers.Refused, reference.Unreadable) as error:
        raise BadPackage(f"the golden image {image} cannot be read: {error}") from error
    name = f"golden.{kind}"
    shutil.copyfile(image, folder / name)
    (outputs,) = OpenVinoEngine(model, "f32", streams=1).run([pixels])
    return {"image": name, **(_best_class(outputs) or _direction(outputs, folder))}


def _best_class(outputs: Outputs) -> dict[str, Any] | None:
    if outputs.scores is None or len(outputs.scores) < 2:
        return None
    second, best = np.argsort(outputs.scores)[-2:]
    if outputs.scores[best] - outputs.scores[second] < _CLEAR:
        return None
    return {"index": int(best), "score": round(float(outputs.scores[best]), 4), "tolerance": _TOLERANCE}


def _direction(outputs: Outputs, folder: Path) -> dict[str, Any]:
    np.save(folder / "golden_embedding.npy", outputs.embedding)
    return {"embedding": "golden_embedding.npy", "least_cosine": _LEAST_COSINE}
