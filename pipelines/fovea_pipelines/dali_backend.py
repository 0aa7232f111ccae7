"""The contract as Triton's native DALI backend wants it: a pipeline it serialises when the model loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.plugin.triton import autoserialize

from fovea_pipelines import dali_graph
from fovea_pipelines.package import ModelPackage

_MAX_BATCH = 64  # as in the model's config.pbtxt
_THREADS = 4


def autoserialized(module_file: str, package: str) -> Callable[[], Any]:
    """The pipeline of `package`, a folder of the repository that holds the module `module_file` (.../model/1/dali.py).

    Decodes on the GPU ("mixed") and stays there. Its third output, PREPROCESS_SPAN, is zeros: this backend cannot
    tell when it began and ended.
    """
    contract = ModelPackage.read(Path(module_file).resolve().parents[2] / package).contract

    def preprocess() -> Any:
        encoded = fn.external_source(name="IMAGE", device="cpu", dtype=types.UINT8, ndim=1)
        pixels, measures = dali_graph.upright(contract, encoded)
        span = types.Constant(np.zeros(2, dtype=np.int64), device="cpu")
        return pixels, measures, span

    definition: Callable[[], Any] = pipeline_def(batch_size=_MAX_BATCH, num_threads=_THREADS, device_id=0)(preprocess)
    marked: Callable[[], Any] = autoserialize(definition)
    return marked
